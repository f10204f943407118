/// What is left of the bytes of a warm file's body. WarmList describes the format.
struct WarmReader {
    private var rest: ArraySlice<UInt8>

    init(_ bytes: ArraySlice<UInt8>) { rest = bytes }

    var isAtEnd: Bool { rest.isEmpty }
    var left: Int { rest.count }

    mutating func number(upTo max: UInt64) throws(WarmError) -> UInt64 {
        var number: UInt64 = 0
        for shift in stride(from: UInt64(0), to: 64, by: 7) {
            guard let byte = rest.popFirst() else { throw WarmList.damaged }
            let bits = UInt64(byte & 0x7f)
            guard (bits << shift) >> shift == bits else { throw WarmList.damaged }
            number |= bits << shift
            if byte & 0x80 == 0 {
                guard number <= max else { throw WarmList.damaged }
                return number
            }
        }
        throw WarmList.damaged
    }

    /// Bytes that a number says how many there are of.
    mutating func bytes(upTo max: Int) throws(WarmError) -> ArraySlice<UInt8> {
        let count = Int(try number(upTo: UInt64(Swift.min(max, rest.count))))
        guard count <= rest.count else { throw WarmList.damaged }
        defer { rest = rest.dropFirst(count) }
        return rest.prefix(count)
    }
}
