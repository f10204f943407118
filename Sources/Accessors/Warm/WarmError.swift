/// Why a list of what was in memory cannot be used or written: a sentence without the name of the file.
public struct WarmError: Error, Equatable, CustomStringConvertible {
    public let description: String

    init(_ description: String) { self.description = description }
}
