import TestSupport
import Testing

/// The code of a hit in the built plugin, from nbdkit's callback to the copy. PagingTests and AdapterTests count what
/// it does in their own builds; this looks at the installed one.
@Suite(.enabled(if: Subprocess.exists("objdump"), "objdump is part of binutils"))
struct HitCodeTests {
    /// The functions of a hit. What they call beside these is the system's: locks and memory.
    private static let functions = [
        "flexpage_pread", "request_read", "flexpage_client_read",
        "$s6Paging5PagerC4read4into2atySw_s5Int64VtAA11AccessErrorVYKF",
    ]

    /// Functions of Swift's runtime that a hit must not call.
    private static let forbidden = ["retain", "release", "swift_alloc", "swift_dealloc", "swift_slow", "swift_once"]

    /// The functions that function `name` calls, by name.
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

    /// No function of a hit calls what retains, releases or allocates, and each calls the next. The opening of a client
    /// has such calls, and shows that they would be seen.
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
