import Paging

extension Option {
    /// All options, in the order in which the help and the man page have them.
    static let all = [
        Option(
            "file", ["PATH"], default: nil, help: "(required) The disk image or block device to serve."
        ) { value, settings throws(InvalidValue) in try settings.takeFile(value) },

        Option(
            "memory", ["SIZE"], default: "256M", help: "The memory for its pages, a hard bound (default 256M)."
        ) { value, settings throws(InvalidValue) in
            settings.memory = try Value.size(value, in: Pages.minMemory...Pages.maxMemory)
            settings.memoryText = value
        },

        Option(
            "direct", into: \.direct,
            help: "Bypass the host's page cache: where the image's filesystem can (auto, the default), or fail (on), "
                + "or never (off)."),

        Option(
            "readahead", ["SIZE", "off"], default: "4M",
            help: "The most that is read ahead of a sequential reader (default 4M)."
        ) { value, settings throws(InvalidValue) in
            settings.readahead =
                try value == "off" ? 0 : Value.size(value, in: Pages.minReadahead...Int.max, or: "off")
        },

        Option(
            "scheduling", into: \.scheduling,
            help: "How the kernel schedules the server's threads (default normal); batch is faster where nothing else "
                + "keeps all of the processors busy."),

        Option(
            "cache", into: \.cache,
            help: "A write is answered when it is in memory (writeback, the default; a flush makes it durable), or on "
                + "the image."),

        Option(
            "dirty", ["PERCENT"], default: "40%",
            help: "The share of the memory that may wait to be written before writers wait too (default 40%)."
        ) { value, settings throws(InvalidValue) in
            settings.dirtyShare = try Value.share(value, in: Pages.dirtyShares)
        },

        Option(
            "dirty-age", ["SECONDS"], default: "5", help: "How long it may wait there (default 5)."
        ) { value, settings throws(InvalidValue) in settings.dirtyAge = try Value.time(value, example: 5) },

        Option(
            "last-will", ["SECONDS", "off"], default: "10",
            help: "How long what waits may be brought out when a fault ends the process (default 10)."
        ) { value, settings throws(InvalidValue) in
            settings.lastWill = try value == "off" ? 0 : Value.seconds(value, in: 1...3600, example: 10, or: "off")
        },

        Option(
            "flush-time", ["SECONDS", "off"], default: "10",
            help: "How long a flush may take: writers wait before more is dirty than the disk can write in that time "
                + "(default 10)."
        ) { value, settings throws(InvalidValue) in
            settings.flushTime = try value == "off" ? nil : Value.time(value, example: 10, or: "off")
        },

        Option("lock", into: \.lock, help: "Keep other writers from the image (default on)."),
    ]
}
