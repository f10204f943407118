/// Two opens with the same identity are the same image. It is the device and inode number of the image's file, or
/// whatever else distinguishes images.
public struct ImageIdentity: Hashable, Sendable {
    public let device: UInt64
    public let inode: UInt64
    /// When the file was made, or another number that tells it from a later file; 0 if there is none. Filesystems give
    /// the inode number of a deleted file to a new one at once.
    public let birth: UInt64

    public init(device: UInt64, inode: UInt64, birth: UInt64 = 0) {
        self.device = device
        self.inode = inode
        self.birth = birth
    }
}
