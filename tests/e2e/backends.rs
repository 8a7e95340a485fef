//! Servers of other people behind a proxy, each of which reads a request in its own way. All are from packages.

use std::path::{Path, PathBuf};
use std::process::Command;

use salt402_tests::{free_port, root};

use crate::proxies::{Running, start};

/// A server that serves a folder, until it is dropped.
pub(crate) struct Backend {
    pub(crate) name: &'static str,
    pub(crate) port: u16,
    _process: Running,
}

/// What only somebody who paid may see.
pub(crate) const SECRET: &str = "what was paid for";

/// A folder with paid and free files.
pub(crate) fn site(folder: &Path) -> PathBuf {
    let site = folder.join("site");
    for place in ["paid", "free", "free/deep"] {
        std::fs::create_dir_all(site.join(place)).unwrap();
    }
    let write = |name: &str, text: &str| std::fs::write(site.join(name), text).unwrap();
    for name in ["dear.txt", "index.html", "ask.php", "a b.txt", "ask.jsp"] {
        write(&format!("paid/{name}"), &format!("{SECRET}\n"));
    }
    for name in ["file.txt", "a b.txt", "café.txt", "deep/file.txt"] {
        write(&format!("free/{name}"), "a free file\n");
    }
    // What the server was told of the payment.
    let told = "<?php foreach (['PAYER', 'ID', 'AMOUNT'] as $w) { echo $w, ' ', $_SERVER[\"HTTP_X_PAYMENT_$w\"] ?? '-', \"\\n\"; }";
    write("free/told.php", told);
    write("paid/told.php", told);
    site
}

/// Every server, over one folder.
pub(crate) fn all(folder: &Path) -> Vec<Backend> {
    let site = site(folder);
    vec![caddy(folder, &site), python(&site), node(&site), php(&site), tomcat(folder, &site)]
}

fn backend(name: &'static str, port: u16, command: &mut Command) -> Backend {
    Backend { name, port, _process: start(command) }
}

/// Caddy's file server, in Go.
fn caddy(folder: &Path, site: &Path) -> Backend {
    let port = free_port();
    let mut command = Command::new("caddy");
    command.args(["file-server", "--listen", &format!("127.0.0.1:{port}"), "--root"]).arg(site);
    for home in ["HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME"] {
        command.env(home, folder);
    }
    backend("caddy", port, &mut command)
}

fn python(site: &Path) -> Backend {
    let port = free_port();
    let mut command = Command::new("python3");
    command.args(["-m", "http.server", "--bind", "127.0.0.1", "--directory"]).arg(site).arg(port.to_string());
    backend("python", port, &mut command)
}

/// Node, by its own reading of addresses.
fn node(site: &Path) -> Backend {
    let port = free_port();
    let script = "const http = require('http'), fs = require('fs'), path = require('path');
        http.createServer((request, response) => {
            let name;
            try { name = decodeURIComponent(new URL(request.url, 'http://here').pathname); } catch { name = '/none'; }
            fs.readFile(path.join(process.argv[1], name), (error, body) => {
                response.statusCode = error ? 404 : 200;
                response.end(body ?? 'nothing\\n');
            });
        }).listen(Number(process.argv[2]), '127.0.0.1');";
    backend("node", port, Command::new("node").args(["-e", script]).arg(site).arg(port.to_string()))
}

/// PHP, which takes what follows a script's name for its path information, and `.` in names for `_`.
pub(crate) fn php(site: &Path) -> Backend {
    let port = free_port();
    backend("php", port, Command::new("php").args(["-S", &format!("127.0.0.1:{port}"), "-t"]).arg(site))
}

/// Tomcat, which takes what follows a `;` for parameters of a segment.
fn tomcat(folder: &Path, site: &Path) -> Backend {
    let port = free_port();
    let (home, base) = (Path::new("/usr/share/tomcat10"), folder.join("tomcat"));
    for place in ["conf", "temp", "logs", "work", "webapps"] {
        std::fs::create_dir_all(base.join(place)).unwrap();
    }
    let server = format!(
        "<Server port=\"-1\"><Service name=\"s\"><Connector address=\"127.0.0.1\" port=\"{port}\"/>\
         <Engine name=\"e\" defaultHost=\"h\"><Host name=\"h\" appBase=\"webapps\">\
         <Context path=\"\" docBase=\"{}\"/></Host></Engine></Service></Server>",
        site.display()
    );
    let web = "<web-app xmlns=\"https://jakarta.ee/xml/ns/jakartaee\" version=\"5.0\">\
        <servlet><servlet-name>d</servlet-name>\
        <servlet-class>org.apache.catalina.servlets.DefaultServlet</servlet-class></servlet>\
        <servlet-mapping><servlet-name>d</servlet-name><url-pattern>/</url-pattern></servlet-mapping></web-app>";
    std::fs::write(base.join("conf/server.xml"), server).unwrap();
    std::fs::write(base.join("conf/web.xml"), web).unwrap();
    let jars =
        ["bootstrap.jar", "tomcat-juli.jar"].map(|jar| home.join("bin").join(jar).display().to_string());
    let mut command = Command::new("java");
    command.args(["-XX:TieredStopAtLevel=1", "-Xmx128m", "-cp", &jars.join(":")]);
    command.arg(format!("-Dcatalina.home={}", home.display()));
    command.arg(format!("-Dcatalina.base={}", base.display()));
    command.arg(format!("-Djava.io.tmpdir={}", base.join("temp").display()));
    command.args(["org.apache.catalina.startup.Bootstrap", "start"]).current_dir(&base);
    backend("tomcat", port, &mut command)
}

/// Python's WSGI server, which takes `_` in names for `-`. Its answers say what it was told of the payment.
pub(crate) fn wsgi() -> Backend {
    let port = free_port();
    let script = "import sys\nfrom wsgiref.simple_server import make_server\n\
        def told(environ, start):\n    start('200 OK', [('content-type', 'text/plain')])\n    \
        return [''.join(f\"{w} {environ.get('HTTP_X_PAYMENT_' + w, '-')}\\n\" for w in ['PAYER', 'ID', 'AMOUNT']).encode()]\n\
        make_server('127.0.0.1', int(sys.argv[1]), told).serve_forever()";
    let mut command = Command::new("python3");
    command.args(["-c", script]).arg(port.to_string()).current_dir(root());
    backend("wsgi", port, &mut command)
}
