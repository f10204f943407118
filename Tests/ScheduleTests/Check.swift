import Glibc

/// A test of this program. It is not part of `swift test`: schedules run in forks of the process. Only a process with
/// one thread can be forked safely.
struct Check: Sendable {
    let name: String
    /// Adds what is wrong to the Complaints.
    let run: @Sendable (Complaints) -> Void

    init(_ name: String, _ run: @escaping @Sendable (Complaints) -> Void) {
        self.name = name
        self.run = run
    }

    /// Runs it, and prints the result in the form that Scripts/test reads.
    /// - Returns: Whether all was well.
    func report() -> Bool {
        let complaints = Complaints()
        run(complaints)
        if let first = complaints.all.first {
            print(complaints.all.joined(separator: "\n"))
            print("FAIL \(name): \(first.split(separator: "\n").first ?? "")")
        } else {
            print("PASS \(name)")
        }
        // A fork must not print this again.
        fflush(nil)
        return complaints.all.isEmpty
    }
}

/// Everything that a check finds wrong.
final class Complaints {
    private(set) var all: [String] = []

    func add(_ complaint: String) { all.append(complaint) }

    func expect(_ condition: Bool, _ complaint: @autoclosure () -> String, _ line: UInt = #line) {
        if !condition { add("\(complaint()) (line \(line))") }
    }
}
