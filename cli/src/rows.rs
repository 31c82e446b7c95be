//! What each listing shows of each resource.

use remuda_api::resource::{ApiKey, Container, Event, Host, Port, Registry, Service, Stack, Volume};
use remuda_api::spec::PublishMode;

use crate::listing::{Row, first_line, or_dash, plain, word};
use crate::quantity::memory_words;

impl Row for Container {
    const COLUMNS: &'static [&'static str] = &["NAME", "HOST", "IP", "STATE", "HEALTH", "REASON"];
    const WIDE: &'static [&'static str] = &["STACK", "SERVICE", "PID", "RESTARTS", "CREATED"];
    fn cells(&self, is_wide: bool) -> Vec<String> {
        vec![
            self.name.clone(),
            or_dash(&self.host),
            or_dash(&self.ip),
            word(&self.state),
            word(&self.health),
            self.reason.as_deref().map(if is_wide { plain } else { first_line }).unwrap_or_default(),
            self.stack.clone(),
            self.service.clone(),
            or_dash(&self.pid),
            self.restarts.to_string(),
            self.created.clone(),
        ]
    }
}

impl Row for Service {
    const COLUMNS: &'static [&'static str] = &["NAME", "KIND", "RUNNING", "HEALTHY", "STATE", "VIP", "PORTS"];
    const WIDE: &'static [&'static str] = &["IMAGE", "GENERATION", "HEALTH", "REASON"];
    const BEYOND: &'static [&'static str] = &["health", "reason"];
    fn cells(&self, _is_wide: bool) -> Vec<String> {
        vec![
            format!("{}/{}", self.stack, self.name),
            self.kind.clone(),
            format!("{}/{}", self.running, self.desired),
            self.healthy.to_string(),
            word(&self.state),
            or_dash(&self.vip),
            self.ports.iter().map(port).collect::<Vec<_>>().join(", "),
            or_dash(&self.image),
            self.generation.to_string(),
            word(&self.health),
            self.reason.as_deref().map(plain).unwrap_or_default(),
        ]
    }
}

/// `8080->80/tcp`; `80/tcp` when not published; `8080->80/tcp (host)` where only the container's host answers.
fn port(port: &Port) -> String {
    let published = port.published.map(|published| format!("{published}->")).unwrap_or_default();
    let mode = if port.mode == PublishMode::Host { " (host)" } else { "" };
    format!("{published}{}/{}{mode}", port.target, port.protocol.name())
}

impl Row for Stack {
    const COLUMNS: &'static [&'static str] = &["NAME", "SERVICES", "RUNNING", "HEALTHY", "STATE"];
    const WIDE: &'static [&'static str] = &["GENERATION"];
    fn cells(&self, _is_wide: bool) -> Vec<String> {
        vec![
            self.name.clone(),
            self.services.to_string(),
            format!("{}/{}", self.running, self.desired),
            self.healthy.to_string(),
            word(&self.state),
            self.generation.to_string(),
        ]
    }
}

impl Row for Host {
    const COLUMNS: &'static [&'static str] =
        &["NAME", "UNDERLAY", "STATE", "AVAILABILITY", "CPU", "MEMORY", "CONTAINERS"];
    const WIDE: &'static [&'static str] = &["REASON", "PROBLEMS", "ID", "CIDRS", "LABELS", "GENERATION", "VERSION"];
    const BEYOND: &'static [&'static str] = &["generation", "version", "reason", "problems"];
    fn cells(&self, _is_wide: bool) -> Vec<String> {
        let labels: Vec<String> = self.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
        vec![
            self.name.clone(),
            self.underlay_ip.clone(),
            word(&self.state),
            word(&self.availability),
            self.cpu.to_string(),
            memory_words(self.memory),
            self.containers.to_string(),
            self.reason.as_deref().map(plain).unwrap_or_default(),
            problems(&self.problems),
            self.node_id.to_string(),
            self.cidrs.join(", "),
            labels.join(", "),
            self.generation.to_string(),
            self.version.clone(),
        ]
    }
}

/// The first one, and how many more `inspect` shows.
fn problems(problems: &[String]) -> String {
    match problems {
        [] => String::new(),
        [only] => first_line(only),
        [first, others @ ..] => format!("{} (and {} more)", first_line(first), others.len()),
    }
}

impl Row for Volume {
    const COLUMNS: &'static [&'static str] = &["NAME", "HOST", "USED BY"];
    const WIDE: &'static [&'static str] = &["STACK", "DRIVER"];
    fn cells(&self, is_wide: bool) -> Vec<String> {
        let used = match self.used_by.as_slice() {
            [first, _, others @ ..] if !is_wide => format!("{first} and {} more", others.len() + 1),
            all => all.join(", "),
        };
        vec![self.name.clone(), or_dash(&self.host), used, or_dash(&self.stack), self.driver.clone()]
    }
}

impl Row for Registry {
    const COLUMNS: &'static [&'static str] = &["ADDRESS", "USERNAME"];
    const WIDE: &'static [&'static str] = &[];
    fn cells(&self, _is_wide: bool) -> Vec<String> {
        vec![self.address.clone(), plain(&self.username)]
    }
}

impl Row for ApiKey {
    const COLUMNS: &'static [&'static str] = &["NAME", "HOST ACCESS", "CREATED"];
    const WIDE: &'static [&'static str] = &[];
    fn cells(&self, _is_wide: bool) -> Vec<String> {
        vec![self.name.clone(), if self.host_access { "yes" } else { "no" }.into(), self.created.clone()]
    }
}

impl Row for Event {
    const COLUMNS: &'static [&'static str] = &["TIME", "KIND", "OBJECT", "MESSAGE"];
    const WIDE: &'static [&'static str] = &["ID"];
    fn cells(&self, _is_wide: bool) -> Vec<String> {
        let (kind, object) = (self.kind.clone(), plain(&self.object));
        vec![self.time.clone(), kind, object, first_line(&self.message), self.id.to_string()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use remuda_api::spec::Protocol;

    fn widths<R: Row>(row: &R) {
        assert_eq!(row.cells(true).len(), R::COLUMNS.len() + R::WIDE.len());
    }

    #[test]
    fn a_port_reads_as_docker_writes_it() {
        let mut http = Port { published: Some(8080), target: 80, protocol: Protocol::Tcp, mode: PublishMode::Ingress };
        assert_eq!(port(&http), "8080->80/tcp");
        http.mode = PublishMode::Host;
        assert_eq!(port(&http), "8080->80/tcp (host)");
        http = Port { published: None, protocol: Protocol::Udp, mode: PublishMode::Ingress, ..http };
        assert_eq!(port(&http), "80/udp");
    }

    #[test]
    fn a_host_shows_its_first_problem_and_how_many_there_are() {
        let several = ["port 80 is taken\nby nginx".to_owned(), "b".into(), "c".into()];
        assert_eq!(problems(&several), "port 80 is taken … (and 2 more)");
        assert_eq!((problems(&several[1..2]), problems(&[])), ("b".into(), String::new()));
    }

    #[test]
    fn a_reason_has_one_line_in_a_table_and_all_of_them_where_it_is_wide() {
        let mut failed: Container = serde_json::from_str(CONTAINER).unwrap();
        failed.reason = Some("exited with code 3\nno such file".into());
        assert_eq!(failed.cells(false)[5], "exited with code 3 …");
        assert_eq!(failed.cells(true)[5], "exited with code 3\nno such file");
    }

    #[test]
    fn every_column_has_a_cell() {
        widths(&serde_json::from_str::<Container>(CONTAINER).unwrap());
        widths(&serde_json::from_str::<Service>(SERVICE).unwrap());
        widths(&serde_json::from_str::<Host>(HOST).unwrap());
    }

    const CONTAINER: &str = r#"{"name":"shop-web-1","stack":"shop","service":"web","host":null,"ip":null,
        "state":"pending","health":"initializing","reason":"no host","pid":null,"restarts":0,"created":"x"}"#;
    const SERVICE: &str = r#"{"name":"web","stack":"shop","kind":"replicated","vip":null,"ports":[],"desired":1,
        "running":0,"healthy":0,"state":"active","image":null,"generation":3}"#;
    const HOST: &str = r#"{"name":"h1","node_id":1,"underlay_ip":"192.0.2.1","cidrs":["10.42.0.0/26"],
        "state":"ready","availability":"active","labels":{"zone":"a"},"cpu":2.0,"memory":1024,"containers":0,
        "generation":3,"version":"0.1.0","reason":null,"problems":[]}"#;
}
