//! Which release of etcd brought a method: the comment behind it in `proto/`, `// since 3.5.0`.

use std::fmt::Write;

use prost_types::FileDescriptorSet;

/// The function `since`, from the path of a method on the wire to the release.
pub(crate) fn generate(files: &FileDescriptorSet) -> String {
    let mut arms = String::new();
    for file in &files.file {
        for location in file.source_code_info.iter().flat_map(|info| &info.location) {
            // The numbers of `service` in a file and of `method` in a service.
            let [6, service, 2, method] = location.path[..] else {
                continue;
            };
            let (Ok(service), Ok(method)) = (usize::try_from(service), usize::try_from(method)) else {
                continue;
            };
            if let Some(release) = location.trailing_comments().trim().strip_prefix("since ") {
                let service = &file.service[service];
                let method = service.method[method].name();
                let _ = writeln!(
                    arms,
                    "\"/{}.{}/{method}\" => Some({release:?}),",
                    file.package(),
                    service.name()
                );
            }
        }
    }
    format!(
        "/// The release of etcd that brought the method at `path`, where that is later than 3.0.
        pub(crate) fn since(path: &str) -> Option<&'static str> {{ match path {{ {arms} _ => None }} }}\n"
    )
}
