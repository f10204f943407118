import Glibc

/// A test of this program, which is none of `swift test`: its schedules run in forks of it, and only a process of one
/// thread can be forked without harm.
struct Check: Sendable {
    let name: String
    /// Says what is wrong to what it is given.
    let run: @Sendable (Complaints) -> Void

    init(_ name: String, _ run: @escaping @Sendable (Complaints) -> Void) {
        self.name = name
        self.run = run
    }

    /// Runs it and prints what came of it, as Scripts/test reads it.
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
        // A fork must not print it once more.
        fflush(nil)
        return complaints.all.isEmpty
    }
}

/// What a check finds wrong.
final class Complaints {
    private(set) var all: [String] = []

    func add(_ complaint: String) { all.append(complaint) }

    func expect(_ condition: Bool, _ complaint: @autoclosure () -> String, _ line: UInt = #line) {
        if !condition { add("\(complaint()) (line \(line))") }
    }
}
