import Accessors
import Paging
import Synchronization

/// The image that a filter serves: the layer below, which is opened for the first client, and stays open.
///
///     not opened ── open ──▶ opened ── another image has come in its place ──▶ over
///
/// Thread rules: any thread; `close` comes when no client is left.
final class LayerSource: Sendable {
    private let layer: GlueLayer
    private let settings: Settings
    private let log: @Sendable (String) -> Void
    /// Its lock is held while the layer is opened, which may take long.
    private let image = Guarded<LayerImage?>(nil)
    private let hasOpened = Atomic<Bool>(false)

    init(_ layer: GlueLayer, _ settings: Settings, log: @escaping @Sendable (String) -> Void) {
        self.layer = layer
        self.settings = settings
        self.log = log
    }

    var label: String { layer.label }

    /// Whether a client has opened it. Waits for nobody.
    var isOpened: Bool { hasOpened.load(ordering: .acquiring) }

    /// The image, for one more client. All clients that come meanwhile wait for the layer.
    /// - Parameter name: What the first client calls it. The layer learns no other name.
    func open(_ name: String, isReadOnly: Bool) throws(ConfigurationError) -> LayerImage {
        try image.withLock { (opened) throws(ConfigurationError) in
            if let image = opened {
                guard !image.isOver else {
                    throw ConfigurationError("\(layer.label) has become another image; start the server anew")
                }
                return image
            }
            guard
                let image = LayerImage(
                    layer, exportName: name, isReadOnly: isReadOnly, contexts: settings.connections,
                    retryTime: settings.retry * 1000, stagingBytes: settings.stagingBytes, log: log)
            else { throw ConfigurationError("\(layer.label) cannot be opened; the log says why") }
            guard image.size <= Pages.maxImageSize else {
                image.close()
                throw ConfigurationError(
                    "\(image.label): the image has \(image.size) bytes; expected at most \(Pages.maxImageSize)")
            }
            opened = image
            hasOpened.store(true, ordering: .releasing)
            return image
        }
    }

    /// Closes what has been opened.
    func close() {
        image.withLock(\.self)?.close()
    }
}
