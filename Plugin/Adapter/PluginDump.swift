import Accessors
import Interface
import Paging

/// What scripts can ask of this build, without a server: the plugin's part of `nbdkit flexpage --dump-plugin`. nbdkit
/// itself prints the version.
///
/// The man page documents each key (Information for scripts), and a test compares it with this list.
enum PluginDump {
    static var entries: [(key: String, value: String)] {
        limits + [
            ("options", Option.all.map(\.key).joined(separator: ",")),
            ("state_format", "\(StateFile.format)"),
            ("io_uring", WriteRings.areAvailable() ? "yes" : "no"),
            ("build", build),
        ]
    }

    /// In bytes, except for the number of images.
    private static var limits: [(key: String, value: String)] {
        [
            ("min_memory", "\(Pages.minMemory)"),
            ("max_memory", "\(Pages.maxMemory)"),
            ("default_memory", "\(Settings().memory)"),
            ("page_size", "\(BasePage.size)"),
            ("max_flexpage_size", "\(Pages.maxFlexpageSize)"),
            ("max_images", "\(Pages.maxImages)"),
            ("max_image_size", "\(Pages.maxImageSize)"),
            ("max_request", "\(flexpage_max_request)"),
        ]
    }

    /// A debug build checks invariants, which takes time.
    private static var build: String {
        #if DEBUG
            "debug"
        #else
            "release"
        #endif
    }

    /// Lines of key=value, without a final newline.
    static var text: String { entries.map { "flexpage_\($0.key)=\($0.value)" }.joined(separator: "\n") }
}
