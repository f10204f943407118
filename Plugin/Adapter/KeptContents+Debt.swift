import Accessors
import Paging

extension KeptContents {
    /// What the image would lose if its record were dropped, as a clause; nil if that is nothing.
    var debt: String? {
        let path = image.path.withoutControls
        if owed > 0 {
            return "\(owed) \(owed == 1 ? "page of 4096 bytes is" : "pages of 4096 bytes are") owed to \(path)"
        }
        if image.hasLoss { return "no client has heard that a failed sync has lost data of \(path)" }
        return image.isUnsynced ? "what \(path) was given may not be durable" : nil
    }
}
