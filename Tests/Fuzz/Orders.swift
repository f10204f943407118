// Lines of clients of the control socket: each is an order, or a sentence that says what is wrong in one line.

@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ data: UnsafePointer<UInt8>, _ count: Int) -> Int32 {
    let line = String(decoding: UnsafeBufferPointer(start: data, count: count), as: UTF8.self)
    do throws(ControlError) {
        check(try ControlOrder(line), of: line)
    } catch {
        precondition(!error.text.isEmpty, "a refusal is a sentence")
        precondition(!error.text.utf8.contains { $0 < 0x20 || $0 == 0x7f }, "the sentence is one line")
        precondition(error.text.utf8.count < 4 * 4096, "the sentence is short, however long the line is")
    }
    return 0
}

private func check(_ order: ControlOrder, of line: String) {
    switch order {
    case .figures, .advise, .flush(nil), .drop(nil), .limit(nil): break
    case .flush(let name?), .drop(let name?), .resident(let name): check(name, of: line)
    case .prefetch(let name, let range):
        check(name, of: line)
        precondition(range.lowerBound >= 0, "a range begins in the image")
    case .readahead(let name, let bytes):
        check(name, of: line)
        precondition(bytes == 0 || bytes >= Pages.minReadahead, "a window is off, or has a minimum")
    case .limit(let bytes?): precondition(bytes >= 0, "a size is not negative")
    }
}

/// A name with its bytes escaped is the same name.
private func check(_ name: String, of line: String) {
    precondition(!name.utf8.isEmpty && !name.utf8.contains(0), "a name is a string of C")
    let escaped = name.utf8.map { "%" + ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
    guard case .resident(name)? = try? ControlOrder("resident \(escaped)") else { fatalError("a name can be escaped") }
}

// What the sources need of the pager.
enum Pages { static let minReadahead = 64 << 10 }
