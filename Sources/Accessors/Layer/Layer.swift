/// What an image can lie in that is reached by calls, and not by a descriptor: a filter's layer below, for example.
///
/// It has one content for everybody. A *context* is one connection to it. Contexts are opened by whoever needs one, on
/// any thread, and more than one may be open.
///
/// Thread rules: any thread, unless `model` says otherwise.
public protocol Layer: AnyObject, Sendable {
    /// What messages call it.
    var label: String { get }

    /// How many calls it bears at once. Does not change once the first context has been opened.
    var model: LayerModel { get }

    /// Opens one more context. May take long.
    /// - Parameter exportName: What the first client called the image.
    /// - Returns: Nil if there is none. The layer has logged why.
    func open(exportName: String, isReadOnly: Bool) -> (any LayerContext)?
}
