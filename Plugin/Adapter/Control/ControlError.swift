/// Why an order was refused or has failed: a sentence for the client of the control socket.
struct ControlError: Error, Equatable {
    let text: String

    init(_ text: String) { self.text = text }
}
