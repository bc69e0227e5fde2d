//! The configuration: any bytes may stand in the two files. They are separated by a zero byte here.

use conf::Config;

/// Columns that pictures are drawn for.
const WIDTH: usize = 80;

/// Whatever the files say is either refused with problems that can be shown, or gives a configuration that compiles.
pub fn run(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (node, topology) = text.split_once('\0').unwrap_or((&text, ""));
    match Config::load_str(node, topology) {
        Ok(loaded) => {
            for warning in &loaded.warnings {
                assert!(!warning.picture(false, WIDTH).is_empty());
            }
            assert!(loaded.config.this_node().is_some());
            for certificate in loaded.config.certificates() {
                assert!(!certificate.to_string().is_empty());
            }
            crate::world::compile(&loaded.config, 0, &[], None);
        }
        Err(errors) => {
            assert!(!errors.problems().is_empty() || errors.untold() > 0);
            let _ = (errors.picture(false, WIDTH), errors.picture(true, 0), errors.summary());
        }
    }
}
