//! A headless Chromium with one page, controlled through the DevTools protocol over a pipe.

use crate::common::skipped;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use serde_json::{Value, json};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Time limit of one call. The machine may be busy with other tests.
const LIMIT: Duration = Duration::from_secs(60);

/// Checks that run in the page.
const CHECKS: &str = include_str!("checks.js");

/// Path of Chromium, from `CHROME` or `PATH`. `None` if there is none, with a message that the
/// tests are skipped.
fn program() -> Option<PathBuf> {
    if let Some(chrome) = std::env::var_os("CHROME").filter(|chrome| !chrome.is_empty()) {
        assert!(
            Path::new(&chrome).is_file(),
            "CHROME is {}, which is not a file; set it to the path of a Chromium",
            chrome.display()
        );
        return Some(chrome.into());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let names = ["chromium", "chromium-browser", "google-chrome"];
    let found =
        std::env::split_paths(&path).flat_map(|dir| names.map(|name| dir.join(name))).find(|path| path.is_file());
    if found.is_none() {
        skipped(
            "no Chromium (chromium, chromium-browser, google-chrome, or CHROME): the page in a browser; scripts/tools \
             installs it",
        );
    }
    found
}

/// A page in its own browser. Dropping it ends the browser and removes its profile.
pub struct Page {
    child: Child,
    to: ChildStdin,
    from: Receiver<Value>,
    session: Option<String>,
    nr_calls: u64,
    /// Events of the protocol, the oldest first.
    events: Vec<Value>,
    limit: Duration,
    profile: TempDir,
}

impl Page {
    /// Starts a browser with an empty page; `None` without a browser.
    pub fn empty() -> Option<Self> {
        let program = program()?;
        let profile = tempfile::tempdir().unwrap();
        let mut command = Command::new("sh");
        // The browser reads from file descriptor 3 and writes to 4.
        command.args(["-c", "exec \"$0\" \"$@\" 3<&0 4>&1 </dev/null >/dev/null"]).arg(program);
        command.args([
            "--headless",
            "--remote-debugging-pipe",
            // The browser opens only files of these tests, and many containers do not support its
            // sandbox.
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--disable-extensions",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--disable-breakpad",
            "--disable-crash-reporter",
            "--no-first-run",
            "--no-default-browser-check",
            "--password-store=basic",
            "--force-color-profile=srgb",
            "--hide-scrollbars",
        ]);
        command.arg(format!("--user-data-dir={}", profile.path().display())).arg("about:blank");
        // Keeps files of the browser and its libraries out of the home directory.
        command.env("HOME", profile.path()).env("TMPDIR", profile.path());
        command.env_remove("XDG_CONFIG_HOME").env_remove("XDG_CACHE_HOME").env_remove("DBUS_SESSION_BUS_ADDRESS");
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        command.stderr(File::create(profile.path().join("stderr")).unwrap());
        let mut child = command.process_group(0).spawn().unwrap();
        let (to, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let (sender, from) = channel();
        thread::spawn(move || {
            for message in BufReader::new(output).split(0) {
                let Ok(message) = message.map(|bytes| serde_json::from_slice(&bytes).unwrap()) else { return };
                if sender.send(message).is_err() {
                    return;
                }
            }
        });
        let (session, events) = (None, Vec::new());
        let mut page = Self { child, to, from, session, nr_calls: 0, events, limit: LIMIT, profile };
        let target = page.call("Target.createTarget", json!({ "url": "about:blank" }))["targetId"].clone();
        let session = page.call("Target.attachToTarget", json!({ "targetId": target, "flatten": true }));
        page.session = session["sessionId"].as_str().map(str::to_owned);
        for domain in ["Page", "Runtime", "Log", "Network"] {
            page.call(&format!("{domain}.enable"), json!({}));
        }
        Some(page)
    }

    /// Opens a file in a window of 1280 by 800.
    pub fn show(&mut self, file: &Path) {
        self.resize(1280, 800, false);
        self.events.clear();
        let gone = self.call("Page.navigate", json!({ "url": format!("file://{}", file.display()) }));
        assert_eq!(gone["errorText"], Value::Null, "{}", file.display());
        self.wait(|page| page.told("Page.loadEventFired").next().is_some().then_some(()));
        self.ask(CHECKS);
    }

    /// Replaces the time limit of a call.
    #[must_use]
    pub fn within(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Profile folder of the browser. Its name is unique to this browser.
    pub fn profile(&self) -> &Path {
        self.profile.path()
    }

    /// Calls a method of the protocol and returns its result.
    pub fn call(&mut self, method: &str, params: Value) -> Value {
        let id = self.post(method, params);
        let begin = Instant::now();
        let answer = loop {
            let message = self.receive(begin, method);
            match message["id"].as_u64() {
                Some(known) if known == id => break message,
                Some(_) => {}
                None => self.happened(message),
            }
        };
        assert_eq!(answer["error"], Value::Null, "{method}");
        answer["result"].clone()
    }

    fn post(&mut self, method: &str, params: Value) -> u64 {
        self.nr_calls += 1;
        let mut message = json!({ "id": self.nr_calls, "method": method, "params": params });
        if let Some(session) = &self.session {
            message["sessionId"] = session.as_str().into();
        }
        let mut bytes = message.to_string().into_bytes();
        bytes.push(0);
        if let Err(error) = self.to.write_all(&bytes) {
            panic!("{method}: the browser ended ({error}): {}", self.complaint());
        }
        self.nr_calls
    }

    fn receive(&mut self, begin: Instant, what: &str) -> Value {
        match self.from.recv_timeout(self.limit.saturating_sub(begin.elapsed())) {
            Ok(message) => message,
            Err(RecvTimeoutError::Timeout) => panic!("{what}: no answer within {:?}", self.limit),
            Err(RecvTimeoutError::Disconnected) => panic!("{what}: the browser ended: {}", self.complaint()),
        }
    }

    fn complaint(&self) -> String {
        fs::read_to_string(self.profile.path().join("stderr")).unwrap_or_default()
    }

    fn happened(&mut self, event: Value) {
        // A dialog blocks the page until it is answered.
        if event["method"] == "Page.javascriptDialogOpening" {
            self.post("Page.handleJavaScriptDialog", json!({ "accept": false }));
        }
        self.events.push(event);
    }

    /// Parameters of the events with this method, the oldest first.
    pub fn told<'a>(&'a self, method: &'a str) -> impl Iterator<Item = &'a Value> {
        self.events.iter().filter(move |event| event["method"] == method).map(|event| &event["params"])
    }

    /// Receives events until `look` returns a value.
    pub fn wait<T>(&mut self, look: impl Fn(&Self) -> Option<T>) -> T {
        let begin = Instant::now();
        loop {
            if let Some(seen) = look(self) {
                return seen;
            }
            let message = self.receive(begin, "waiting");
            if message["id"].is_null() {
                self.happened(message);
            }
        }
    }

    /// Evaluates a JavaScript expression in the page; a promise is awaited.
    pub fn ask(&mut self, expression: &str) -> Value {
        let asked = json!({ "expression": expression, "returnByValue": true, "awaitPromise": true });
        let answer = self.call("Runtime.evaluate", asked);
        assert_eq!(answer["exceptionDetails"], Value::Null, "{expression}");
        answer["result"]["value"].clone()
    }

    /// Evaluates an expression that is an array, and returns its items as strings.
    pub fn list(&mut self, expression: &str) -> Vec<String> {
        let value = self.ask(expression);
        let list = value.as_array().unwrap_or_else(|| panic!("{expression} is {value}"));
        list.iter().map(|item| item.as_str().map_or_else(|| item.to_string(), str::to_owned)).collect()
    }

    /// Sets the size of the window in CSS pixels. `phone` emulates a mobile device.
    pub fn resize(&mut self, width: u32, height: u32, phone: bool) {
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": phone });
        self.call("Emulation.setDeviceMetricsOverride", size);
        self.settle();
    }

    /// Emulates a medium (`screen`, `print`) and a preferred colour scheme (`light`, `dark`).
    pub fn dress(&mut self, medium: &str, colours: &str) {
        let features = json!([{ "name": "prefers-color-scheme", "value": colours }]);
        self.call("Emulation.setEmulatedMedia", json!({ "media": medium, "features": features }));
        self.settle();
    }

    /// Clicks the centre of an element, which must not be covered.
    pub fn click(&mut self, selector: &str) {
        let middle = self.ask(&format!("check.middle({})", json!(selector)));
        assert!(middle["covered"].is_null(), "{selector} cannot be clicked: {}", middle["covered"]);
        for (kind, buttons) in [("mouseMoved", 0), ("mousePressed", 1), ("mouseReleased", 0)] {
            let button = if kind == "mouseMoved" { "none" } else { "left" };
            let mut event = json!({ "type": kind, "button": button, "buttons": buttons, "clickCount": 1 });
            event["x"] = middle["x"].clone();
            event["y"] = middle["y"].clone();
            self.call("Input.dispatchMouseEvent", event);
        }
        self.settle();
    }

    /// Replaces the text of a field by typing.
    pub fn fill(&mut self, selector: &str, text: &str) {
        self.click(selector);
        self.key(json!({ "key": "a", "commands": ["selectAll"] }));
        self.key(json!({ "key": "Backspace", "code": "Backspace", "windowsVirtualKeyCode": 8 }));
        for letter in text.chars() {
            self.key(json!({ "key": letter, "text": letter }));
        }
        self.settle();
        assert_eq!(self.ask(&format!("document.querySelector({}).value", json!(selector))), text, "typed");
    }

    /// Presses and releases a key.
    pub fn key(&mut self, key: Value) {
        let mut event = key;
        for kind in ["keyDown", "keyUp"] {
            event["type"] = kind.into();
            self.call("Input.dispatchKeyEvent", event.clone());
            for only_down in ["text", "commands"] {
                event.as_object_mut().unwrap().remove(only_down);
            }
        }
    }

    /// Selects an option of a `select` element.
    pub fn choose(&mut self, selector: &str, value: &str) {
        self.ask(&format!("check.choose({}, {})", json!(selector), json!(value)));
        self.settle();
    }

    /// Waits until the page has been redrawn.
    fn settle(&mut self) {
        self.ask("new Promise((done) => requestAnimationFrame(() => setTimeout(() => done(true))))");
    }

    /// Writes a PNG of the whole page.
    pub fn screenshot(&mut self, file: &Path) {
        let asked = json!({ "format": "png", "captureBeyondViewport": true });
        let picture = self.call("Page.captureScreenshot", asked);
        fs::write(file, base64(&picture["data"])).unwrap();
    }

    /// Prints the page to PDF, without backgrounds.
    pub fn pdf(&mut self) -> Vec<u8> {
        base64(&self.call("Page.printToPDF", json!({ "printBackground": false }))["data"])
    }

    /// Problems since the page was opened: errors, dialogs, console messages, and requests other
    /// than for the page itself.
    pub fn trouble(&mut self) -> Vec<String> {
        self.settle();
        let own = self.ask("location.href");
        let own = own.as_str().unwrap().split('#').next().unwrap().to_owned();
        let exceptions =
            self.told("Runtime.exceptionThrown").map(|thrown| format!("exception: {}", thrown["exceptionDetails"]));
        let console = self.told("Runtime.consoleAPICalled").map(|call| format!("console: {call}"));
        let log = self.told("Log.entryAdded").map(|added| format!("log: {}", added["entry"]));
        let dialogs = self.told("Page.javascriptDialogOpening").map(|dialog| format!("dialog: {}", dialog["message"]));
        let requests = self.told("Network.requestWillBeSent").filter_map(|sent| {
            let url = sent["request"]["url"].as_str().unwrap_or_default();
            let known = url == own || url.starts_with("data:") || url == "about:blank";
            (!known).then(|| format!("request: {url}"))
        });
        let sockets = self.told("Network.webSocketCreated").map(|socket| format!("socket: {}", socket["url"]));
        exceptions.chain(console).chain(log).chain(dialogs).chain(requests).chain(sockets).collect()
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        // Errors are ignored, because they mean that the processes have already ended.
        let _ = kill_process_group(Pid::from_child(&self.child), Signal::KILL);
        let _ = self.child.wait();
        let begin = Instant::now();
        loop {
            let left = processes(self.profile.path());
            if left.is_empty() || begin.elapsed() > Duration::from_secs(10) {
                break;
            }
            for pid in left {
                let _ = kill_process(pid, Signal::KILL);
            }
            thread::sleep(Duration::from_millis(5));
        }
    }
}

fn base64(text: &Value) -> Vec<u8> {
    BASE64_STANDARD.decode(text.as_str().unwrap()).unwrap()
}

/// Processes whose command line contains the path of the folder.
pub fn processes(folder: &Path) -> Vec<Pid> {
    let folder = folder.as_os_str().as_encoded_bytes();
    let names = fs::read_dir("/proc").unwrap().filter_map(|entry| Some(entry.ok()?.file_name()));
    let pids = names.filter_map(|name: std::ffi::OsString| OsStr::to_str(&name)?.parse().ok());
    let with_folder = pids.filter(|pid: &i32| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        line.windows(folder.len()).any(|part| part == folder)
    });
    with_folder.filter_map(Pid::from_raw).collect()
}
