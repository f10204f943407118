/// A run of an image and what is known about it, as NBD's block status reports it.
public struct Extent: Equatable, Sendable {
    /// What the run holds.
    public enum Kind: Equatable, Sendable {
        /// Allocated; may hold anything.
        case data
        /// Allocated, and known to read as zeroes.
        case zeroes
        /// Not allocated; reads as zeroes.
        case hole
    }

    /// Bytes from the beginning of the image.
    public var range: Range<Int64>
    public var kind: Kind

    public init(_ range: Range<Int64>, _ kind: Kind) {
        self.range = range
        self.kind = kind
    }
}
