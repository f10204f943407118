extension Substring {
    /// The parts between separators. Several separators in a row count as one.
    func fields(separatedBy separator: Character = " ") -> [Substring] {
        let byte = separator.asciiValue!
        return utf8.split { $0 == byte || $0 == UInt8(ascii: "\t") }.map(Substring.init)
    }
}
