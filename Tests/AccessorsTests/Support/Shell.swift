import TestSupport

/// Runs a command of the shell: its exit status and what it printed.
@discardableResult
func shell(_ command: String) -> (status: Int32, output: String) {
    do { return try Subprocess.run("sh", "-c", command) } catch { return (-1, "\(error)") }
}
