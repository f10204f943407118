import Paging

/// An image that nobody uses gives up its descriptors. When it is opened again, they come from the new opening.
///
/// The pages of the image stay in memory meanwhile. So the new opening must have found the very same file, in the state
/// that the pages are of. The rules are those of two servers that take turns (`ChangeWatch`), and any doubt counts as a
/// change.
extension ImageFile {
    /// Closes all descriptors, which also releases whatever the image held.
    public func rest() {
        handover.rests()
        opened.close()
    }

    /// Takes over the descriptors of `other`, if it has found the image as it was. O(1), with one system call.
    public func wake(with other: any Accessor) -> Bool {
        guard let other = other as? ImageFile, other !== self else {
            return (self as AnyObject) === (other as AnyObject)
        }
        guard identity == other.identity, lock == other.lock, opened.isLike(other.opened),
            handover.resumes(other.opened.buffered.number)
        else { return false }
        opened.take(other.opened)
        // Their numbers are now those of this image. `other` is only good for its end.
        (writeAccess, name, place) = (other.writeAccess, other.name, other.place)
        keepPath(other.opened.keptPath)
        return true
    }
}
