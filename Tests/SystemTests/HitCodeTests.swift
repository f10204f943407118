import TestSupport
import Testing

/// The code of a hit in the built plugin, from nbdkit's callback to the copy: PagingTests and AdapterTests count what
/// it does in builds of theirs; this looks at what is installed.
@Suite(.enabled(if: Subprocess.exists("objdump"), "objdump is of binutils"))
struct HitCodeTests {
    /// The functions of a hit. What they call besides is the system's: locks and memory.
    private static let functions = [
        "flexpage_pread", "flexpage_client_read", "$s6Paging5PagerC4read4into2atySw_s5Int64VtAA11AccessErrorVYKF",
    ]

    /// Functions of Swift's runtime that a hit has no business with.
    private static let forbidden = ["retain", "release", "swift_alloc", "swift_dealloc", "swift_slow", "swift_once"]

    /// What function `name` calls, by name.
    private func callees(of name: String) throws -> [Substring] {
        let result = try Subprocess.run(
            "objdump", "-d", "--no-show-raw-insn", "--disassemble=\(name)", try Plugin.built())
        return result.output.split(separator: "\n").compactMap { line in
            guard line.contains("call") || line.contains("jmp") || line.contains("\tbl\t") || line.contains("\tb\t"),
                let begin = line.lastIndex(of: "<"), line.hasSuffix(">")
            else { return nil }
            let callee = line[line.index(after: begin)...].dropLast()
            return callee.hasPrefix("\(name)+") ? nil : callee
        }
    }

    private func isForbidden(_ callee: Substring) -> Bool { HitCodeTests.forbidden.contains { callee.contains($0) } }

    /// Proves that no function of a hit calls what retains, releases or allocates, and that each calls the next; that
    /// such calls would be seen shows the opening of a client, which has them.
    @Test func nothingIsRetained() throws {
        #expect(try callees(of: "flexpage_client_open").contains(where: isForbidden))
        let next = HitCodeTests.functions.dropFirst() + ["pthread_mutex_lock@plt"]
        for (function, next) in zip(HitCodeTests.functions, next) {
            let callees = try callees(of: function)
            #expect(callees.contains(Substring(next)), "\(function) calls \(callees)")
            #expect(!callees.contains(where: isForbidden), "\(function) calls \(callees)")
        }
    }
}
