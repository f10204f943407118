import Glibc
import TestSupport

/// The nbdkit of this machine.
enum Nbdkit {
    /// What the plugin says of an nbdkit that has a certain fault.
    static let warning: Substring = "aborts when a client vanishes"

    /// `output` without the line that the plugin prints for some nbdkits and not for others.
    static func withoutWarning(_ output: String) -> String {
        output.split(separator: "\n", omittingEmptySubsequences: false).filter { !$0.contains(warning) }
            .joined(separator: "\n")
    }

    /// Its version, as a person writes it.
    static var version: String {
        let output = (try? Subprocess.run("nbdkit", "--version").output) ?? ""
        return output.split { " \n".contains($0) }.dropFirst().first.map(String.init) ?? "none"
    }

    /// True if it is one of those that abort when a client vanishes.
    static var abortsWhenAClientVanishes: Bool {
        ["1.32.4", "1.32.5"].contains(version) || (3...9).contains { version == "1.33.\($0)" }
    }
}
