import TestSupport

/// Runs a command of the shell. Returns its exit status and its output.
@discardableResult
func shell(_ command: String) -> (status: Int32, output: String) {
    do { return try Subprocess.run("sh", "-c", command) } catch { return (-1, "\(error)") }
}
