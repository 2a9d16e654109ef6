//! The functions by which the standard library reads unwind tables, for a program without those tables.
//!
//! `packaging/release` discards the tables, and a panic aborts. So a backtrace would have no frames, but its code (LLVM's
//! libunwind, and readers of DWARF and of symbols) is linked for `RUST_BACKTRACE`: 180 KB. These functions replace
//! libunwind's and find no frame, so all of that code is left out. If the standard library needs another function of
//! libunwind, the linker reports a function that is defined twice.
#![expect(unsafe_code, reason = "the linker finds these functions by their names; nothing else here is unsafe")]

use std::ffi::{c_int, c_void};

/// The result at the end of the stack (`_URC_END_OF_STACK` in LLVM's unwind.h).
const END_OF_STACK: c_int = 5;

#[unsafe(no_mangle)]
extern "C" fn _Unwind_Backtrace(_trace: *mut c_void, _data: *mut c_void) -> c_int {
    END_OF_STACK
}

macro_rules! unused {
    ($($name:ident)*) => {$(
        /// Is called for a frame only, or to unwind.
        #[unsafe(no_mangle)]
        extern "C" fn $name() -> usize {
            std::process::abort()
        }
    )*};
}

unused! {
    _Unwind_DeleteException _Unwind_FindEnclosingFunction _Unwind_GetCFA _Unwind_GetDataRelBase _Unwind_GetIP
    _Unwind_GetIPInfo _Unwind_GetLanguageSpecificData _Unwind_GetRegionStart _Unwind_GetTextRelBase
    _Unwind_RaiseException _Unwind_Resume _Unwind_SetGR _Unwind_SetIP
}
