/// Two opens with the same identity are the same image. It is the device and inode number of the image's file, or
/// whatever else distinguishes images.
public struct ImageIdentity: Hashable, Sendable {
    public let device: UInt64
    public let inode: UInt64

    public init(device: UInt64, inode: UInt64) {
        self.device = device
        self.inode = inode
    }
}
