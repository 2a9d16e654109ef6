//! Another tool that changes the kernel's table at the same time, as systemd-binfmt does: for each of its rules it
//! deletes the entry of that name and registers its own (systemd 257, `binfmt.c`, `apply_rule`).

use std::fs;
use std::io;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::Duration;

use nix::mount::{MsFlags, mount};

use crate::host::killed::seed;
use crate::support::alongside::run_alongside;
use crate::support::rng::Noise;
use crate::support::runs::{Emulators, Run};
use crate::support::sandbox::SCRATCH;
use crate::support::table::line;
use crate::support::tree::TABLE;
use crate::support::{Tree, fault_table};

/// Number of our runs beside the other tool.
const ROUNDS: usize = 50;

/// A tool that registers its rules again and again.
struct OtherTool {
    /// Path of the table for this tool.
    table: PathBuf,
    /// Names and lines of its rules.
    rules: Vec<(&'static str, String)>,
    /// Whether it starts by deleting every entry of every tool.
    flushes: bool,
    /// Longest time between deleting an entry and registering its own.
    gap: Duration,
}

impl OtherTool {
    /// Repeats its work until `stop` is set. `Err`: one of its entries was changed by another process.
    fn run_until(&self, stop: &AtomicBool, mut noise: Noise) -> Result<usize, String> {
        let mut rounds = 0;
        while !stop.load(Ordering::Relaxed) {
            self.run_once(&mut noise)?;
            rounds += 1;
        }
        Ok(rounds)
    }

    fn run_once(&self, noise: &mut Noise) -> Result<(), String> {
        if self.flushes {
            for entry in fs::read_dir(&self.table).unwrap() {
                let name = entry.unwrap().file_name().into_string().unwrap();
                if name != "register" && name != "status" {
                    self.delete(&name);
                }
            }
        }
        for (name, line) in &self.rules {
            self.delete(name);
            sleep(self.gap.mul_f64(noise.fraction()));
            // Our run may have registered an entry with this name in between: then the kernel refuses.
            let made = write(&self.table.join("register"), line);
            if made.is_ok() {
                let left = self.text(name);
                sleep(Duration::from_millis(3));
                let now = self.text(name);
                if left != now || left.is_none() {
                    return Err(format!("its entry {name} was {left:?}, and is {now:?}"));
                }
            }
        }
        sleep(Duration::from_millis(1));
        Ok(())
    }

    fn delete(&self, name: &str) {
        // The entry may already be deleted.
        drop(write(&self.table.join(name), "-1"));
    }

    fn text(&self, name: &str) -> Option<String> {
        fs::read_to_string(self.table.join(name)).ok()
    }
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    fs::OpenOptions::new().write(true).open(path)?.write_all(text.as_bytes())
}

/// Runs the tool beside the other one; then registers our entry, while the other tool's entries are as it left them.
#[track_caller]
fn run_beside(tree: &Tree, other_tool: &OtherTool, options: &[&str], codes: &[i32]) {
    let seed = seed();
    let mut noise = Noise::new(seed);
    let repeated = |stop: &AtomicBool| other_tool.run_until(stop, Noise::new(seed + 1));
    let (result, ()) = run_alongside(repeated, || {
        for _ in 0..ROUNDS {
            let run = [Run::Register, Run::Upgrade, Run::Unregister][usize::try_from(noise.below(3)).unwrap()];
            let options = if run == Run::Unregister { &[] } else { options };
            let args = run.args(Emulators::Small);
            let args: Vec<_> = args.iter().map(String::as_str).chain(options.iter().copied()).collect();
            let done = tree.run(&args).omits("panicked").exits_with(codes);
            // A tool that takes our name between the deletion of our old entry and the registration of the new one
            // keeps it; the run cannot undo that.
            let taken = done.err.contains("while undoing: the kernel refused to register qemu-aarch64: File exists");
            assert!(taken || !done.err.contains("not everything could be undone"), "{done:#?}");
        }
    });
    let rounds = result.unwrap_or_else(|why| panic!("(seed {seed}) {why}"));
    assert!(rounds > 10, "the other tool did its work only {rounds} times");
    // In its last round our entry may have had the name.
    other_tool.run_once(&mut noise).unwrap();
    tree.register_with("aarch64", options).exits(0);
    assert!(tree.runs("aarch64"));
}

/// A tool whose entries are registered before ours.
fn start_in_tree(tree: &Tree, rules: Vec<(&'static str, String)>) -> OtherTool {
    let other_tool = OtherTool { table: tree.path(TABLE), rules, flushes: false, gap: Duration::ZERO };
    other_tool.run_once(&mut Noise::new(0)).unwrap();
    other_tool
}

fn rules_for_other_systems() -> Vec<(&'static str, String)> {
    let rule = |name, system| (name, line(name, system, "/bin/true".as_ref(), "F"));
    vec![rule("qemu-riscv64", "riscv64"), rule("theirs", "s390x")]
}

#[sandboxed]
fn a_tool_with_other_names_keeps_its_entries() {
    let tree = Tree::new().mounted();
    let other_tool = start_in_tree(&tree, rules_for_other_systems());
    let before = tree.snapshot();
    run_beside(&tree, &other_tool, &[], &[0]);
    tree.unregister("all").exits(0);
    before.is_restored_in(&tree);
    fault_table::line("runs while another tool deletes and adds its own entries", ROUNDS);
}

fn rules_with_our_name() -> Vec<(&'static str, String)> {
    vec![("qemu-aarch64", line("qemu-aarch64", "aarch64", "/bin/true".as_ref(), ""))]
}

/// Our entry precedes the other one until the other tool registers its own again.
#[sandboxed]
fn a_tool_with_our_name_keeps_its_entry() {
    let tree = Tree::new().mounted();
    let other_tool = start_in_tree(&tree, rules_with_our_name());
    let before = tree.snapshot();
    run_beside(&tree, &other_tool, &["--force"], &[0, 1]);
    tree.unregister("all").exits(0);
    before.is_restored_in(&tree);
    fault_table::line("runs while another tool deletes and adds an entry with our name", ROUNDS);
}

/// The tool that registers first has the name; neither tool deletes an entry that is the other's by then.
#[sandboxed]
fn a_tool_that_often_holds_our_name_keeps_its_entry() {
    let tree = Tree::new().mounted();
    let other_tool = OtherTool { gap: Duration::from_millis(60), ..start_in_tree(&tree, rules_with_our_name()) };
    let before = tree.snapshot();
    run_beside(&tree, &other_tool, &["--force"], &[0, 1, 3]);
    // The message names the entry that replaced ours.
    tree.unregister("all").exits_with(&[0, 3]);
    before.is_restored_in(&tree);
    fault_table::line("runs while another tool has an entry with our name most of the time", ROUNDS);
}

/// A restart of systemd-binfmt does this.
#[sandboxed]
fn a_tool_that_flushes_the_table_keeps_its_entries() {
    let tree = Tree::new().mounted();
    let other_tool = OtherTool { flushes: true, ..start_in_tree(&tree, rules_for_other_systems()) };
    let before = tree.snapshot();
    run_beside(&tree, &other_tool, &[], &[0, 1]);
    tree.unregister("all").exits(0);
    before.is_restored_in(&tree);
    fault_table::line("runs while another tool deletes all entries and adds its own", ROUNDS);
}

/// All mounts of a user namespace show one table: the other tool's entries would end with our mount if it was the
/// last.
#[sandboxed]
fn a_tool_with_another_mount_keeps_its_entries() {
    let tree = Tree::new();
    let before = tree.snapshot();
    let table = Path::new(SCRATCH).join("table");
    fs::create_dir(&table).unwrap();
    mount(None::<&str>, &table, Some("binfmt_misc"), MsFlags::empty(), None::<&str>).unwrap();
    let other_tool = OtherTool { table, rules: rules_for_other_systems(), flushes: false, gap: Duration::ZERO };
    run_beside(&tree, &other_tool, &[], &[0]);
    tree.unregister("all").exits(0);
    for (name, _) in &other_tool.rules {
        assert!(other_tool.text(name).is_some(), "{name} is gone");
        other_tool.delete(name);
    }
    tree.unregister("all").exits(0);
    before.is_restored_in(&tree);
    fault_table::line("runs while another tool writes the table through another mount", ROUNDS);
}
