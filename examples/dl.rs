use binfmt_nix::{catalog::*, download::*};
use std::fs::File;
fn main() {
    let base = std::env::args().nth(1).unwrap();
    let out = std::env::args().nth(2).unwrap();
    let mut targets: Vec<String> = std::env::args().skip(3).collect();
    let c = Catalog::embedded().unwrap();
    let p = c.package_for("x86_64").unwrap();
    if targets == ["all"] {
        targets = p.members.iter().map(|m| m.target.clone()).collect();
    }
    let t: Vec<&str> = targets.iter().map(String::as_str).collect();
    let plan = p.plan(&t).unwrap();
    let mut n = 0;
    let r = download(
        &plan,
        &[Mirror::Archive(base.parse().unwrap())],
        &ClientOptions::default(),
        &mut |m| File::create(format!("{out}/qemu-{}", m.target)),
        &mut |e| {
            n += 1;
            if !matches!(e, Event::Moved { .. }) {
                if t.len() < 3 {
                    println!("{e:?}")
                }
            }
        },
    );
    match r {
        Ok(f) => println!("ok {} bytes, {n} events, plan {}", f.moved, plan.bytes()),
        Err(e) => {
            println!("{e}\nhelp: {}", e.hint());
        }
    }
}
