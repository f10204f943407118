/// What nbdkit has loaded: the plugin, which serves image files, or the filter, which serves the layer below it.
enum Role: Sendable {
    case plugin
    case filter
}
