import Accessors
import Paging

/// An image that has been opened for a client, and how it is served.
struct Export: Sendable {
    /// The one that clients have open already, or one that has just been opened.
    let image: any ImageSource
    /// The image's Provider if other clients have it open. It counts the client as a user already.
    var provider: Provider?
    /// What figures call the image: the export's name; the path as it was typed if clients need none.
    let name: String
    /// What comes before the image's own words in messages: `file=`, or `export "NAME": `.
    let prefix: String
    /// Whether clients may only read.
    let isReadOnly: Bool
    /// When a write is answered.
    let cache: CacheMode
    /// The memory that the image has for itself; nil if the pager decides.
    let reserve: Reserve?
}
