//! Chromium, which a person sits in front of: opens pages, types, clicks, reads. It is driven by WebDriver
//! (<https://www.w3.org/TR/webdriver2/>), and goes nowhere but to this machine.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::certificates::Certificates;
use super::process::{Server, eventually, find, needs};

/// How long a page may take, on a machine that is busy with other tests. In milliseconds, as WebDriver wants it.
const PATIENCE: u64 = 60_000;

/// Where WebDriver puts an element's name.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

pub(crate) fn is_installed() -> bool {
    needs("chromium") && needs("chromedriver")
}

/// A browser with one window. Both programs are started here, because the driver leaves a browser of its own behind when it is
/// stopped.
pub(crate) struct Browser {
    driver: Server,
    _chromium: Server,
    client: reqwest::Client,
    session: String,
}

impl Browser {
    /// Starts one that knows nothing yet, and trusts the server of these certificates.
    pub(crate) async fn start(folder: &Path, certificates: &Certificates) -> Self {
        let profile = folder.join("chromium");
        let arguments = arguments(&profile, certificates);
        let chromium =
            Server::start("Chromium", &folder.join("chromium.log"), &find("chromium").unwrap(), arguments);
        let mut debugger = String::new();
        let listens = eventually(|| {
            // Its first line is the port, its second a path.
            let told = fs::read_to_string(profile.join("DevToolsActivePort")).unwrap_or_default();
            told.split_once('\n').is_some_and(|(port, _)| {
                debugger = format!("127.0.0.1:{port}");
                true
            })
        });
        if !listens {
            chromium.fail("did not start");
        }
        let (driver, port) = driver(&folder.join("chromedriver.log"));
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured((*certificates.client).clone())
            .no_proxy()
            .timeout(Duration::from_millis(2 * PATIENCE))
            .build()
            .unwrap();
        let mut browser =
            Self { driver, _chromium: chromium, client, session: format!("http://127.0.0.1:{port}/session") };
        let wanted = json!({ "capabilities": { "alwaysMatch": {
            "timeouts": { "implicit": PATIENCE, "pageLoad": PATIENCE },
            "goog:chromeOptions": { "debuggerAddress": debugger },
        }}});
        let begun = browser.command("", &wanted).await;
        browser.session = format!("{}/{}", browser.session, begun["sessionId"].as_str().unwrap());
        browser
    }

    /// Opens a page.
    pub(crate) async fn open(&self, url: &str) {
        self.command("/url", &json!({ "url": url })).await;
    }

    /// Types into the field that this CSS selector finds.
    pub(crate) async fn types(&self, selector: &str, text: &str) {
        let field = self.element("css selector", selector).await;
        self.command(&format!("/element/{field}/clear"), &json!({})).await;
        self.command(&format!("/element/{field}/value"), &json!({ "text": text })).await;
    }

    /// Clicks on the link or button with these words.
    pub(crate) async fn clicks(&self, words: &str) {
        let path = format!("//*[self::a or self::button][normalize-space()='{words}']");
        let element = self.element("xpath", &path).await;
        self.command(&format!("/element/{element}/click"), &json!({})).await;
    }

    /// Waits for a page with this heading, and gives all text that can be read there.
    pub(crate) async fn shows(&self, heading: &str) -> String {
        self.element("xpath", &format!("//h1[normalize-space()='{heading}']")).await;
        self.evaluate("document.body.innerText").await.as_str().unwrap().to_owned()
    }

    /// What a script of one expression gives.
    pub(crate) async fn evaluate(&self, expression: &str) -> Value {
        let script = format!("return {expression}");
        self.command("/execute/sync", &json!({ "script": script, "args": [] })).await
    }

    /// A window this wide on a device that likes `light` or `dark` pages.
    pub(crate) async fn becomes(&self, [width, height]: [u32; 2], scheme: &str) {
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 2, "mobile": width < 600 });
        let media = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        for (command, parameters) in
            [("Emulation.setDeviceMetricsOverride", size), ("Emulation.setEmulatedMedia", media)]
        {
            self.command("/goog/cdp/execute", &json!({ "cmd": command, "params": parameters })).await;
        }
    }

    /// Keeps a picture of the page for people, and says where.
    pub(crate) async fn screenshot(&self, name: &str) {
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.png"));
        let picture = self.request(self.client.get(format!("{}/screenshot", self.session))).await;
        fs::write(&path, STANDARD.decode(picture.as_str().unwrap()).unwrap()).unwrap();
        println!("screenshot: {}", path.display());
    }

    async fn element(&self, strategy: &str, value: &str) -> String {
        let found = self.command("/element", &json!({ "using": strategy, "value": value })).await;
        found[ELEMENT].as_str().unwrap().to_owned()
    }

    async fn command(&self, path: &str, parameters: &Value) -> Value {
        let request = self.client.post(format!("{}{path}", self.session)).body(parameters.to_string());
        self.request(request).await
    }

    async fn request(&self, request: reqwest::RequestBuilder) -> Value {
        let response = request.send().await.unwrap();
        let (url, status) = (response.url().clone(), response.status());
        let mut answer: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
        let value = answer["value"].take();
        if !status.is_success() {
            self.driver.fail(&format!("says to {url}: {}", value["message"]));
        }
        value
    }
}

/// Starts chromedriver, and gives its port. It takes a free one for IPv4 and wants the same for IPv6, where it may be in use;
/// then it ends, and another attempt finds another.
fn driver(log: &Path) -> (Server, u16) {
    let program = find("chromedriver").unwrap();
    for _ in 0..5 {
        let (driver, stdout) = Server::start_listening("chromedriver", log, &program, ["--port=0"]);
        let port = BufReader::new(stdout).lines().map_while(Result::ok).find_map(|line| {
            let (_, port) = line.split_once("started successfully on port ")?;
            port.strip_suffix('.')?.parse::<u16>().ok()
        });
        if let Some(port) = port {
            return (driver, port);
        }
    }
    panic!("chromedriver did not start: {}", fs::read_to_string(log).unwrap_or_default())
}

fn arguments(profile: &Path, certificates: &Certificates) -> Vec<String> {
    let profile = format!("--user-data-dir={}", profile.display());
    // This one key and no other: everything else is verified as ever.
    let trusted = format!("--ignore-certificate-errors-spki-list={}", certificates.key_digest);
    let plain = [
        "--headless",
        "--remote-debugging-port=0",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--no-proxy-server",
        // The consent page asks for a font from elsewhere.
        "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1",
    ];
    plain.map(str::to_owned).into_iter().chain([profile, trusted]).collect()
}
