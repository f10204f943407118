import Interface
import Paging

/// A kind of extent as a value of enum flexpage_extent_kind.
extension Extent.Kind {
    var number: Int32 {
        switch self {
        case .data: Int32(flexpage_extent_data.rawValue)
        case .zeroes: Int32(flexpage_extent_zeroes.rawValue)
        case .hole: Int32(flexpage_extent_hole.rawValue)
        }
    }

    /// - Parameter number: Any other value is data: nothing is said of what it holds.
    init(number: Int32) {
        switch number {
        case Extent.Kind.hole.number: self = .hole
        case Extent.Kind.zeroes.number: self = .zeroes
        default: self = .data
        }
    }
}
