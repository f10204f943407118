/// What makes two opens the same image: the device and inode number of its file, or whatever else tells images apart.
public struct ImageIdentity: Hashable, Sendable {
    public let device: UInt64
    public let inode: UInt64

    public init(device: UInt64, inode: UInt64) {
        self.device = device
        self.inode = inode
    }
}
