//! Registries that deliver nothing, a part of the image, or too slowly: a clear error, and never a partial image.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::fault_table;
use super::image::Image;
use super::server::{Answer, Request, Server};
use super::tool::Tool;

#[test]
fn http_error_statuses_are_reported() {
    let (image, mut answers) = (Image::good(), 0);
    for code in [201, 204, 206, 304, 400, 401, 403, 404, 416, 429, 500, 503] {
        for digest in [&image.index, &image.manifest, &image.layers[1]] {
            let asked = digest.clone();
            let server = Server::modified(image.clone(), move |request, answer| {
                if request.is_for(&asked) {
                    *answer = Answer::status(code).header("Retry-After: 3600");
                }
            });
            let outcome = Tool::pulls(server.image(&image.index)).fails(1, &format!("HTTP status {code}"));
            let times = server.requests().iter().filter(|request| request.is_for(digest)).count();
            // An internal error may be temporary. A refusal, or one that lasts an hour, is not retried.
            assert_eq!(times, if code == 500 { 3 } else { 1 }, "{code}");
            answers += 1;
            if code == 429 {
                assert!(outcome.hint.starts_with("wait, or log in"), "{outcome:?}");
            }
        }
    }
    fault_table::line("registries that refuse the request", answers);
}

/// The connection closes before the announced length, or the whole response is shorter than the descriptor says.
#[test]
fn a_truncated_body_is_an_error() {
    let (image, mut ends) = (Image::good(), 0);
    for digest in [&image.index, &image.manifest, &image.layers[0]] {
        let length = image.blobs[digest].len();
        for keep in [0, 1, length / 2, length - 1] {
            let cut = digest.clone();
            let server = Server::modified(image.clone(), move |request, answer| {
                if request.is_for(&cut) {
                    answer.says = Some(answer.body.len() as u64);
                    answer.body.truncate(keep.min(answer.body.len().saturating_sub(1)));
                }
            });
            Tool::pulls(server.image(&image.index)).fails(1, "");
            ends += 2;
            let cut = digest.clone();
            let server = Server::modified(image.clone(), move |request, answer| {
                if request.is_for(&cut) {
                    answer.body.truncate(keep);
                }
            });
            // A complete response that is shorter. The length of the first document is not known in advance.
            let outcome = Tool::pulls(server.image(&image.index)).run();
            assert!(
                outcome.code == if digest == &image.index { 5 } else { 1 } && outcome.emulators.is_empty(),
                "{outcome:?}"
            );
        }
    }
    fault_table::line("registries that end the response too early", ends);
}

/// Each response is reset after the same number of bytes; 64 such numbers are tried.
#[test]
fn a_reset_connection_never_yields_a_partial_image() {
    let image = Image::good();
    let whole = image.blobs[&image.layers[0]].len() + 60;
    let mut ends = [0, 0];
    for step in 0..64 {
        let offset = step * whole / 64;
        let server = Server::modified(image.clone(), move |_, answer| answer.reset = Some(offset));
        let outcome = Tool::pulls(server.image(&image.index)).run();
        // A later reset lets each try progress, so that three tries or three rounds of them may be enough.
        assert!(outcome.code <= 1 && (outcome.code == 0) == (outcome.emulators.len() == 1), "{offset}: {outcome:?}");
        ends[usize::from(outcome.code)] += 1;
        assert!(server.requests().len() <= 4 * 3 * 3, "{offset}");
    }
    assert!(ends[1] >= 5, "{ends:?}");
    fault_table::line("registries that reset the connection", ends[0] + ends[1]);
}

/// Only the rest of the layer is requested again.
#[test]
fn a_broken_layer_download_is_resumed() {
    let image = Image::good();
    let layer = image.layers[0].clone();
    let length = image.blobs[&layer].len();
    for (ranges, keep) in [(true, 1), (true, length / 2), (true, length - 1), (false, length / 2)] {
        let (cut, times) = (layer.clone(), AtomicUsize::new(0));
        let server = Server::modified(image.clone(), move |request, answer| {
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

/// The response of a server without ranges.
fn fresh(request: &Request, answer: &Answer) -> Answer {
    let without = Request { headers: Vec::new(), ..request.clone() };
    if answer.status == 206 { Image::good().answer(&without) } else { answer.clone() }
}

#[test]
fn another_range_than_requested_is_refused() {
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
        let server = Server::modified(image.clone(), move |request, answer| {
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
fn a_body_of_another_length_is_refused() {
    let image = Image::good();
    for digest in [&image.manifest, &image.layers[0]] {
        for endless in [false, true] {
            let longer = digest.clone();
            let server = Server::modified(image.clone(), move |request, answer| {
                if request.is_for(&longer) {
                    answer.body.push(b' ');
                    answer.endless = endless;
                }
            });
            let outcome = Tool::pulls(server.image(&image.index)).run();
            // Nothing is read after the last byte of a layer.
            let whole = endless && digest == &image.layers[0];
            assert_eq!((outcome.code == 1, outcome.code == 0), (!whole, whole), "{outcome:?}");
        }
    }
}

#[test]
fn a_silent_registry_times_out() {
    let image = Image::good();
    for digest in [&image.index, &image.layers[0]] {
        let asked = digest.clone();
        let server = Server::modified(image.clone(), move |request, answer| {
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
fn endless_redirects_and_other_schemes_are_refused() {
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
fn a_content_encoding_is_refused() {
    let image = Image::good();
    let server = Server::modified(image.clone(), |_, answer| answer.headers.push("Content-Encoding: br".into()));
    Tool::pulls(server.image(&image.index)).fails(1, "coding br");
}

#[test]
fn an_unreachable_registry_is_reported() {
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let image = format!("oci://{gone}/fox/qemu:v1");
    assert!(Tool::pulls(image).fails(1, "the index or manifest: ").hint.contains("HTTPS_PROXY"));
    Tool::pulls("oci://no-such-host.invalid/fox/qemu:v1")
        .fails(1, "cannot pull oci://no-such-host.invalid/fox/qemu:v1");
    Tool::pulls("oci://fox/qemu:v1").fails(2, "the registry comes first");
}
