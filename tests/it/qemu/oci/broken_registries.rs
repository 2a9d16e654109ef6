//! Registries that give nothing, not all, or not in time: a clean error, and no partial image.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::fault_table;
use super::image::Image;
use super::server::{Answer, Request, Server};
use super::tool::Tool;

#[test]
fn that_say_no() {
    let (image, mut answers) = (Image::good(), 0);
    for code in [201, 204, 206, 304, 400, 401, 403, 404, 416, 429, 500, 503] {
        for digest in [&image.index, &image.manifest, &image.layers[1]] {
            let asked = digest.clone();
            let server = Server::bent(image.clone(), move |request, answer| {
                if request.is_for(&asked) {
                    *answer = Answer::status(code).header("Retry-After: 3600");
                }
            });
            let outcome = Tool::pulls(server.image(&image.index)).fails(1, &format!("HTTP status {code}"));
            let times = server.requests().iter().filter(|request| request.is_for(digest)).count();
            // Who is broken may be mended; who says no, or not before an hour, is not asked again.
            assert_eq!(times, if code == 500 { 3 } else { 1 }, "{code}");
            answers += 1;
            if code == 429 {
                assert!(outcome.hint.starts_with("wait, or log in"), "{outcome:?}");
            }
        }
    }
    fault_table::line("registries that refuse the request", answers);
}

/// Whoever closes early says no more than that it ended.
#[test]
fn that_end_too_early() {
    let (image, mut ends) = (Image::good(), 0);
    for digest in [&image.index, &image.manifest, &image.layers[0]] {
        let length = image.blobs[digest].len();
        for keep in [0, 1, length / 2, length - 1] {
            let cut = digest.clone();
            let server = Server::bent(image.clone(), move |request, answer| {
                if request.is_for(&cut) {
                    answer.says = Some(answer.body.len() as u64);
                    answer.body.truncate(keep.min(answer.body.len().saturating_sub(1)));
                }
            });
            Tool::pulls(server.image(&image.index)).fails(1, "");
            ends += 2;
            let cut = digest.clone();
            let server = Server::bent(image.clone(), move |request, answer| {
                if request.is_for(&cut) {
                    answer.body.truncate(keep);
                }
            });
            // A whole answer that is shorter: the first document's length is not known before.
            let outcome = Tool::pulls(server.image(&image.index)).run();
            assert!(
                outcome.code == if digest == &image.index { 5 } else { 1 } && outcome.emulators.is_empty(),
                "{outcome:?}"
            );
        }
    }
    fault_table::line("registries that end the response too early", ends);
}

/// At 64 places of what it sends, each time.
#[test]
fn that_reset_the_connection() {
    let image = Image::good();
    let whole = image.blobs[&image.layers[0]].len() + 60;
    let mut ends = [0, 0];
    for step in 0..64 {
        let offset = step * whole / 64;
        let server = Server::bent(image.clone(), move |_, answer| answer.reset = Some(offset));
        let outcome = Tool::pulls(server.image(&image.index)).run();
        // Where it comes further each time, three times or three rounds of them may be enough.
        assert!(outcome.code <= 1 && (outcome.code == 0) == (outcome.emulators.len() == 1), "{offset}: {outcome:?}");
        ends[usize::from(outcome.code)] += 1;
        assert!(server.requests().len() <= 4 * 3 * 3, "{offset}");
    }
    assert!(ends[1] >= 5, "{ends:?}");
    fault_table::line("registries that reset the connection", ends[0] + ends[1]);
}

/// The rest is asked for, and no more.
#[test]
fn that_break_once() {
    let image = Image::good();
    let layer = image.layers[0].clone();
    let length = image.blobs[&layer].len();
    for (ranges, keep) in [(true, 1), (true, length / 2), (true, length - 1), (false, length / 2)] {
        let (cut, times) = (layer.clone(), AtomicUsize::new(0));
        let server = Server::bent(image.clone(), move |request, answer| {
            if request.is_for(&cut) && times.fetch_add(1, Ordering::SeqCst) == 0 {
                answer.says = Some(answer.body.len() as u64);
                answer.body.truncate(keep);
            } else if !ranges {
                *answer = fresh(request, answer);
            }
        });
        let outcome = Tool::pulls(server.image(&image.index)).succeeds();
        let asked: Vec<_> = server.requests().into_iter().filter(|request| request.is_for(&layer)).collect();
        let from = format!("bytes={keep}-");
        assert_eq!(asked.iter().map(|request| request.header("range")).collect::<Vec<_>>(), [None, Some(&*from)]);
        let bytes: usize = [&image.index, &image.manifest, &image.layers[0], &image.layers[1]]
            .map(|d| image.blobs[d].len())
            .iter()
            .sum();
        assert_eq!(outcome.moved, (bytes + if ranges { 0 } else { keep }) as u64);
    }
}

/// Of a server that has no ranges.
fn fresh(request: &Request, answer: &Answer) -> Answer {
    let without = Request { headers: Vec::new(), ..request.clone() };
    if answer.status == 206 { Image::good().answer(&without) } else { answer.clone() }
}

#[test]
fn that_resume_wrongly() {
    let image = Image::good();
    let layer = image.layers[0].clone();
    let length = image.blobs[&layer].len();
    let wrong = [
        format!("Content-Range: bytes 0-{}/{length}", length - 1),
        "Content-Range: bytes */1".into(),
        "X: y".into(),
        format!("Content-Range: bytes {}-{}/{}", length / 2, length - 1, length + 1),
    ];
    for range in wrong {
        let (cut, times) = (layer.clone(), AtomicUsize::new(0));
        let server = Server::bent(image.clone(), move |request, answer| {
            if request.is_for(&cut) && times.fetch_add(1, Ordering::SeqCst) == 0 {
                answer.says = Some(length as u64);
                answer.body.truncate(length / 2);
            } else if request.is_for(&cut) {
                answer.headers = vec![range.clone()];
            }
        });
        Tool::pulls(server.image(&image.index)).fails(1, "layer 1 of 2: asked for bytes");
    }
}

#[test]
fn that_have_another_length() {
    let image = Image::good();
    for digest in [&image.manifest, &image.layers[0]] {
        for endless in [false, true] {
            let longer = digest.clone();
            let server = Server::bent(image.clone(), move |request, answer| {
                if request.is_for(&longer) {
                    answer.body.push(b' ');
                    answer.endless = endless;
                }
            });
            let outcome = Tool::pulls(server.image(&image.index)).run();
            // Behind the last byte of a layer nothing is read.
            let whole = endless && digest == &image.layers[0];
            assert_eq!((outcome.code == 1, outcome.code == 0), (!whole, whole), "{outcome:?}");
        }
    }
}

#[test]
fn that_are_silent() {
    let image = Image::good();
    for digest in [&image.index, &image.layers[0]] {
        let asked = digest.clone();
        let server = Server::bent(image.clone(), move |request, answer| {
            if request.is_for(&asked) {
                answer.says = Some(answer.body.len() as u64);
                answer.body.clear();
                answer.pause = Duration::from_secs(10);
            }
        });
        let tool = Tool::pulls(server.image(&image.index)).with("BINFMT_NIX_TEST_STALL", "400");
        tool.fails(1, "no answer for 0.4 s");
    }
}

#[test]
fn that_redirect_for_ever() {
    let image = Image::good();
    for code in [301, 302, 303, 307, 308] {
        let server = Server::start(move |request| Answer::status(code).header(format!("Location: {}", request.path)));
        Tool::pulls(server.image(&image.index)).fails(1, "more than 5 redirects");
        assert!(server.requests().len() <= 7);
    }
    for to in ["file:///etc/passwd", "ftp://127.0.0.1/x"] {
        let server = Server::start(move |_| Answer::status(302).header(format!("Location: {to}")));
        Tool::pulls(server.image(&image.index)).fails(1, "is not followed");
    }
}

#[test]
fn that_send_another_coding() {
    let image = Image::good();
    let server = Server::bent(image.clone(), |_, answer| answer.headers.push("Content-Encoding: br".into()));
    Tool::pulls(server.image(&image.index)).fails(1, "coding br");
}

#[test]
fn that_are_not_there() {
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let image = format!("oci://{gone}/fox/qemu:v1");
    assert!(Tool::pulls(image).fails(1, "the index or manifest: ").hint.contains("HTTPS_PROXY"));
    Tool::pulls("oci://no-such-host.invalid/fox/qemu:v1")
        .fails(1, "cannot pull oci://no-such-host.invalid/fox/qemu:v1");
    Tool::pulls("oci://fox/qemu:v1").fails(2, "the registry comes first");
}
