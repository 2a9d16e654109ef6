//! The attributes by which the functions of `tests/it` become tests of its harness (`tests/it/support/harness.rs`).

use proc_macro::{TokenStream, TokenTree};

/// A test that runs in a thread of the test program.
#[proc_macro_attribute]
pub fn test(_: TokenStream, function: TokenStream) -> TokenStream {
    registered("in_thread", function)
}

/// A test that runs in a process with namespaces of its own (`tests/it/support/sandbox.rs`).
#[proc_macro_attribute]
pub fn sandboxed(_: TokenStream, function: TokenStream) -> TokenStream {
    registered("in_sandbox", function)
}

/// The function, followed by its element of the slice that the harness reads.
fn registered(constructor: &str, function: TokenStream) -> TokenStream {
    let Some(name) = name(&function) else {
        return r#"compile_error!("only a function can be a test");"#.parse().unwrap_or_default();
    };
    let registration = format!(
        "#[allow(unsafe_code, reason = \"linkme names the section of the slice\")]
         const _: () = {{
             #[::linkme::distributed_slice(crate::support::harness::TESTS)]
             static TEST: crate::support::harness::Test =
                 crate::support::harness::Test::{constructor}(concat!(module_path!(), \"::{name}\"), {name});
         }};"
    );
    let mut all = function;
    all.extend(registration.parse::<TokenStream>());
    all
}

/// The word after `fn`.
fn name(function: &TokenStream) -> Option<String> {
    let mut tokens = function.clone().into_iter();
    tokens.find(|token| matches!(token, TokenTree::Ident(word) if word.to_string() == "fn"))?;
    match tokens.next()? {
        TokenTree::Ident(name) => Some(name.to_string()),
        _ => None,
    }
}
