import Paging

// What the control socket tells of the pages in memory.
extension Server {
    /// The maximum number of runs in an answer. The coldest ones are left out.
    private static let maxRuns = 1 << 18

    /// What is in memory of the image, the warmest first: for each run its warmth, its offset and its length, bytes.
    /// One client at a time is told, because an answer takes up to 30 MiB beside `memory=`.
    func resident(_ name: String) throws(ControlError) -> Members {
        guard beginTellingResidents() else {
            throw ControlError("another client asks what is in memory at present")
        }
        defer { isTellingResidents.withLock { $0 = false } }
        return try with(name) { client throws(ControlError) in
            let provider = client.pager.provider
            var numbers: [UInt64] = []
            guard let residents = try running().residents(of: provider) else {
                throw ControlError("\(client.served.label): the image is being closed")
            }
            for run in residents.prefix(Server.maxRuns) {
                let offset = run.pages.lowerBound * UInt64(BasePage.size)
                numbers += [UInt64(run.warmth), offset, UInt64(run.pages.count) * UInt64(BasePage.size)]
            }
            return [("size_bytes", .number(UInt64(provider.size))), ("runs", .numbers(numbers))]
        }
    }

    private func beginTellingResidents() -> Bool {
        isTellingResidents.withLock { isTelling in
            defer { isTelling = true }
            return !isTelling
        }
    }
}
