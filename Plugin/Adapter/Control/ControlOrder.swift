import Accessors
import Paging

/// One line of a client of the control socket: a word, and what it applies to, with spaces between. In the name of an
/// export, `%20` stands for a space, as in an NBD URI, and so on for each other byte.
enum ControlOrder: Equatable {
    /// Tell all figures.
    case figures
    /// Tell what other amounts of memory would give.
    case advise
    /// Bring everything written to the image, or to all images, and make it durable.
    case flush(String?)
    /// Drop the clean pages of the image, or of all images.
    case drop(String?)
    /// Read a range of the image into memory.
    case prefetch(String, Range<Int64>)
    /// Set the maximum window of reading ahead of an image, bytes.
    case readahead(String, Int)
    /// Limit the memory in use to this, bytes; nil only to tell how far that is.
    case limit(Int?)

    /// Tell what is in memory of the image.
    case resident(String)

    /// Bytes in a line. A longer one is refused.
    static let maxLength = 4096

    /// How each order is written.
    private static let forms = [
        "figures", "flush [EXPORT]", "drop [EXPORT]", "prefetch EXPORT OFFSET LENGTH", "readahead EXPORT SIZE|off",
        "limit [SIZE]", "resident EXPORT", "advise",
    ]

    /// - Throws: A sentence for the client.
    init(_ line: String) throws(ControlError) {
        let words = line.split(separator: " ").map(String.init)
        guard let order = words.first else {
            throw ControlError("the line is empty; expected \(ControlOrder.choice(of: ControlOrder.forms))")
        }
        guard let form = ControlOrder.forms.first(where: { $0.split(separator: " ")[0] == order }) else {
            throw ControlError(
                "\(order.quoted()): unknown order; expected \(ControlOrder.choice(of: ControlOrder.forms))")
        }
        let expected = form.split(separator: " ").dropFirst()
        let least = expected.count { !$0.hasPrefix("[") }
        guard (least...expected.count).contains(words.count - 1) else {
            throw ControlError("\(order): \(words.count - 1) words follow; expected \(form)")
        }
        switch order {
        case "figures": self = .figures
        case "advise": self = .advise
        case "flush": self = .flush(try words.dropFirst().first.map(ControlOrder.name))
        case "drop": self = .drop(try words.dropFirst().first.map(ControlOrder.name))
        case "resident": self = .resident(try ControlOrder.name(words[1]))
        case "limit": self = .limit(try words.dropFirst().first.map(ControlOrder.size).map { Int($0) })
        case "prefetch":
            self = .prefetch(try ControlOrder.name(words[1]), try ControlOrder.range(words[2], words[3]))
        default: self = .readahead(try ControlOrder.name(words[1]), try ControlOrder.window(words[2]))
        }
    }

    private static func choice(of words: [String]) -> String { words.joined(separator: ", ") }

    /// Takes `%` and two digits for the byte that they say.
    private static func name(_ word: String) throws(ControlError) -> String {
        var bytes: [UInt8] = []
        var rest = word.utf8[...]
        while let byte = rest.popFirst() {
            guard byte == UInt8(ascii: "%") else {
                bytes.append(byte)
                continue
            }
            let digits = rest.prefix(2)
            rest = rest.dropFirst(2)
            guard digits.count == 2, let value = UInt8(String(decoding: digits, as: UTF8.self), radix: 16),
                digits.first != UInt8(ascii: "+")
            else {
                throw ControlError("\(word.quoted()): % must be followed by two hexadecimal digits, such as %20")
            }
            bytes.append(value)
        }
        guard !bytes.contains(0) else { throw ControlError("\(word.quoted()): no name has a byte that is 0") }
        guard let name = String(validating: bytes, as: UTF8.self) else {
            throw ControlError("\(word.quoted()): the name is not in UTF-8")
        }
        return name
    }

    private static func range(_ offset: String, _ length: String) throws(ControlError) -> Range<Int64> {
        let (begin, count) = (try size(offset), try size(length))
        let (end, isTooFar) = begin.addingReportingOverflow(count)
        guard !isTooFar else { throw ControlError("\(offset) \(length): the range has no end") }
        return begin..<end
    }

    private static func size(_ text: String) throws(ControlError) -> Int64 {
        guard let bytes = ByteCount.parse(text) else {
            throw ControlError("\(text.quoted()): not a size; expected a number with a unit, such as 0 or 256M")
        }
        return Int64(bytes)
    }

    private static func window(_ text: String) throws(ControlError) -> Int {
        if text == "off" { return 0 }
        let bytes = Int(try size(text))
        guard bytes >= Pages.minReadahead else {
            throw ControlError(
                "\(text): too small; expected at least \(ByteCount.text(Pages.minReadahead)), or off")
        }
        return bytes
    }
}
