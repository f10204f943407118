import Accessors
import Paging
import SystemPackage

/// What it takes to serve an image, from after the fork to the end: the Pages, the registry, the image's Provider, and
/// the Writeback where the image can be written, and the Prefetcher.
///
/// It holds one use of the Provider as long as it lives, so that what was read for one client is still there for the next
/// one. `end` is called once, when no request is under way any more.
final class Serving: Sendable {
    let image: ImageFile
    let pages: Pages
    private let registry: ProviderRegistry
    private let provider: Provider
    private let writeback: Writeback?
    private let prefetcher: Prefetcher?

    /// Takes the memory and starts the threads.
    /// - Throws: ENOMEM where the memory cannot be had.
    init(_ image: ImageFile, _ settings: Settings, log: @escaping @Sendable (String) -> Void) throws(AccessError) {
        self.image = image
        pages = try Pages(
            memory: settings.memory, dirtyShare: settings.dirtyShare, readahead: settings.readahead
        ) { log($0.line) }
        registry = ProviderRegistry(pages: pages)
        provider = try registry.open(image.identity) { () throws(AccessError) in image }
        image.privilegesSettled()
        prefetcher = settings.readahead > 0 ? Prefetcher(pages: pages) : nil
        writeback = image.isWritable ? Writeback(pages: pages, registry: registry, dirtyAge: settings.dirtyAge) : nil
    }

    /// One user of the Provider more.
    func open() throws(AccessError) -> Provider {
        let image = image
        return try registry.open(image.identity) { () throws(AccessError) in image }
    }

    /// One user less.
    func close(_ provider: Provider) throws(AccessError) {
        try registry.close(provider)
    }

    /// Brings what was written to the image, and stops. Hands back what went wrong. nbdkit calls no close for clients that
    /// are still there, so the flush does not wait for the last user to leave.
    func end() -> Complaint? {
        var complaint: Complaint?
        do {
            if image.isWritable { try Pager(provider).flush() }
            try registry.close(provider)
        } catch {
            complaint = Complaint(
                "\(pages.counters.dirtyPages) pages of 4096 bytes could not be written to \(image.path) and are lost: "
                    + "\(Errno(rawValue: error.code))")
        }
        writeback?.stop()
        prefetcher?.stop()
        return complaint
    }
}

extension Notice {
    /// What a person is told.
    var line: String {
        switch self {
        case .writeOutFails(let error, let dirtyPages):
            "writing to the image fails (\(Errno(rawValue: error.code))); \(dirtyPages) pages of 4096 bytes stay in memory "
                + "and are tried again; every flush fails until they are out"
        case .writeOutWorksAgain(let failures):
            "writing to the image works again, after \(failures) failures; all that was kept in memory is out"
        case .syncFailed(let error, let isLost):
            "making the image durable failed (\(Errno(rawValue: error.code))); "
                + (isLost
                    ? "what was written before may be lost, and every flush fails until the image is opened anew"
                    : "what was written since the last good sync is in memory and is written again")
        case .syncWorksAgain(let failures):
            "making the image durable works again, after \(failures) failures; nothing is lost"
        }
    }
}
