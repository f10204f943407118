/// A sentence that says why a server tells nothing, or has not carried out an order.
struct ControlFailure: Error, CustomStringConvertible {
    let description: String

    init(_ description: String) { self.description = description }
}
