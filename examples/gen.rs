use std::fs::File;
use std::io::Write;
fn main() {
    let mut debs: Vec<(String, File)> = std::env::args()
        .skip(1)
        .map(|a| {
            let name = a.rsplit('/').next().unwrap().to_owned();
            (binfmt_nix::catalog::generate::pool_path(&name), File::open(&a).unwrap())
        })
        .collect();
    let c = binfmt_nix::catalog::generate::generate(&mut debs).unwrap();
    std::io::stdout().write_all(c.to_json().unwrap().as_bytes()).unwrap();
}
