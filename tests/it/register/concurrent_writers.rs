//! Somebody else's tool at work on the kernel's table at the same time, as systemd-binfmt is: for each of its rules it
//! deletes the entry of that name and makes its own (systemd 257, `binfmt.c`, `apply_rule`).

use std::fs;
use std::io;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, sleep};
use std::time::Duration;

use nix::mount::{MsFlags, mount};

use crate::host::killed::seed;
use crate::support::rng::Noise;
use crate::support::runs::Run;
use crate::support::sandbox::SCRATCH;
use crate::support::table::line;
use crate::support::tree::TABLE;
use crate::support::{Tree, fault_table};

/// So many of our runs while it is at work.
const ROUNDS: usize = 50;

/// The foreign tool.
struct Foreigner {
    /// where it has the table
    table: PathBuf,
    /// its rules' names and lines
    rules: Vec<(&'static str, String)>,
    /// it begins by deleting every entry, whosever
    flushes: bool,
    /// so long it takes at most between deleting an entry and making its own
    gap: Duration,
}

impl Foreigner {
    /// Does its work again and again, until it is told to stop. `Err`: its own entry was not as it had left it.
    fn works(&self, stop: &AtomicBool, mut noise: Noise) -> Result<usize, String> {
        let mut rounds = 0;
        while !stop.load(Ordering::Relaxed) {
            self.once(&mut noise)?;
            rounds += 1;
        }
        Ok(rounds)
    }

    fn once(&self, noise: &mut Noise) -> Result<(), String> {
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
            // Ours may have come in between, with the same name: then the kernel refuses.
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
        // It may be gone.
        drop(write(&self.table.join(name), "-1"));
    }

    fn text(&self, name: &str) -> Option<String> {
        fs::read_to_string(self.table.join(name)).ok()
    }
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    fs::OpenOptions::new().write(true).open(path)?.write_all(text.as_bytes())
}

/// Our runs beside it; then, when it is done, ours is made whole and taken back, and theirs is as it was.
#[track_caller]
fn beside(tree: &Tree, foreigner: &Foreigner, options: &[&str], codes: &[i32]) {
    let seed = seed();
    let mut noise = Noise::new(seed);
    let stop = AtomicBool::new(false);
    let theirs = thread::scope(|scope| {
        let theirs = scope.spawn(|| foreigner.works(&stop, Noise::new(seed + 1)));
        // A test that fails here must not wait for it for ever.
        let stops = StopsAtLast(&stop);
        for _ in 0..ROUNDS {
            let run = [Run::Register, Run::Upgrade, Run::Unregister][usize::try_from(noise.below(3)).unwrap()];
            let options = if run == Run::Unregister { &[] } else { options };
            let args = run.args();
            let args: Vec<_> = args.iter().map(String::as_str).chain(options.iter().copied()).collect();
            let done = tree.run(&args).omits("panicked").exits_with(codes);
            // Who takes our name in the moment between our old entry and our new one keeps it: that cannot be undone.
            let taken = done.err.contains("while undoing: the kernel refused to register qemu-aarch64: File exists");
            assert!(taken || !done.err.contains("not everything could be undone"), "{done:#?}");
        }
        drop(stops);
        theirs.join().unwrap()
    });
    let rounds = theirs.unwrap_or_else(|why| panic!("(seed {seed}) {why}"));
    assert!(rounds > 10, "it did its work {rounds} times only");
    // The last time ours may have had the name before it.
    foreigner.once(&mut noise).unwrap();
    tree.register_with("aarch64", options).exits(0);
    assert!(tree.runs("aarch64"));
}

struct StopsAtLast<'a>(&'a AtomicBool);

impl Drop for StopsAtLast<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// One that was there first.
fn in_the_tree(tree: &Tree, rules: Vec<(&'static str, String)>) -> Foreigner {
    let foreigner = Foreigner { table: tree.path(TABLE), rules, flushes: false, gap: Duration::ZERO };
    foreigner.once(&mut Noise::new(0)).unwrap();
    foreigner
}

fn of_other_systems() -> Vec<(&'static str, String)> {
    let rule = |name, system| (name, line(name, system, "/bin/true".as_ref(), "F"));
    vec![rule("qemu-riscv64", "riscv64"), rule("theirs", "s390x")]
}

#[sandboxed]
fn a_tool_with_other_names_keeps_its_entries() {
    let tree = Tree::new().mounted();
    let foreigner = in_the_tree(&tree, of_other_systems());
    let before = tree.snapshot();
    beside(&tree, &foreigner, &[], &[0]);
    tree.unregister("all").exits(0);
    before.is_restored_in(&tree);
    fault_table::line("runs while another tool deletes and adds its own entries", ROUNDS);
}

fn of_our_name() -> Vec<(&'static str, String)> {
    vec![("qemu-aarch64", line("qemu-aarch64", "aarch64", "/bin/true".as_ref(), ""))]
}

/// Ours lies above theirs, until theirs is made again.
#[sandboxed]
fn a_tool_with_our_name_keeps_its_entry() {
    let tree = Tree::new().mounted();
    let foreigner = in_the_tree(&tree, of_our_name());
    let before = tree.snapshot();
    beside(&tree, &foreigner, &["--force"], &[0, 1]);
    tree.unregister("all").exits(0);
    before.is_restored_in(&tree);
    fault_table::line("runs while another tool deletes and adds an entry with our name", ROUNDS);
}

/// Whoever comes first has the name: neither deletes what is the other's by now.
#[sandboxed]
fn a_tool_that_often_holds_our_name_keeps_its_entry() {
    let tree = Tree::new().mounted();
    let foreigner = Foreigner { gap: Duration::from_millis(60), ..in_the_tree(&tree, of_our_name()) };
    let before = tree.snapshot();
    beside(&tree, &foreigner, &["--force"], &[0, 1, 3]);
    // It names what took the place of ours.
    tree.unregister("all").exits_with(&[0, 3]);
    before.is_restored_in(&tree);
    fault_table::line("runs while another tool has an entry with our name most of the time", ROUNDS);
}

/// As a restart of systemd-binfmt does.
#[sandboxed]
fn a_tool_that_flushes_the_table_keeps_its_entries() {
    let tree = Tree::new().mounted();
    let foreigner = Foreigner { flushes: true, ..in_the_tree(&tree, of_other_systems()) };
    let before = tree.snapshot();
    beside(&tree, &foreigner, &[], &[0, 1]);
    tree.unregister("all").exits(0);
    before.is_restored_in(&tree);
    fault_table::line("runs while another tool deletes all entries and adds its own", ROUNDS);
}

/// All mounts of a namespace show one table: with ours would go what theirs is in, if ours were the last.
#[sandboxed]
fn a_tool_with_another_mount_keeps_its_entries() {
    let tree = Tree::new();
    let before = tree.snapshot();
    let table = Path::new(SCRATCH).join("table");
    fs::create_dir(&table).unwrap();
    mount(None::<&str>, &table, Some("binfmt_misc"), MsFlags::empty(), None::<&str>).unwrap();
    let foreigner = Foreigner { table, rules: of_other_systems(), flushes: false, gap: Duration::ZERO };
    beside(&tree, &foreigner, &[], &[0]);
    tree.unregister("all").exits(0);
    for (name, _) in &foreigner.rules {
        assert!(foreigner.text(name).is_some(), "{name} is gone");
        foreigner.delete(name);
    }
    tree.unregister("all").exits(0);
    before.is_restored_in(&tree);
    fault_table::line("runs while another tool writes the table through another mount", ROUNDS);
}
