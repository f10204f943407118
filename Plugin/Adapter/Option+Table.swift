import Paging

extension Option {
    /// All options, in the order of the help and the man page.
    static let all = [
        Option(
            "file", ["PATH"], default: nil,
            help: "The disk image or block device to serve, under every name (required, unless dir= or export= is "
                + "given)."
        ) { value, settings throws(InvalidValue) in try settings.takeFile(value) },

        Option(
            "dir", ["DIR"], default: nil,
            help: "Serve every disk image and block device in this directory, by its name (required, unless file= or "
                + "export= is given)."
        ) { value, settings throws(InvalidValue) in try settings.takeDirectory(value) },

        Option(
            "export", ["NAME:PATH[,OPTION...]"], default: nil,
            help: "Serve this image by this name; repeat it for more images (required, unless file= or dir= is given). "
                + "Options: ro, cache=writeback|writethrough, reserve=SIZE|PERCENT."
        ) { value, settings throws(InvalidValue) in try settings.takeExport(value) },

        Option(
            "default", ["NAME"], default: nil,
            help: "The export for clients that name none. By default, such clients are refused; with file= they get "
                + "the image."
        ) { value, settings throws(InvalidValue) in
            guard !value.isEmpty else {
                throw InvalidValue("the name is empty", expected: "the name of an export")
            }
            settings.defaultExport = value
        },

        Option(
            "reserve", ["SIZE", "PERCENT"], default: nil,
            help: "Memory that each image has for itself while it has clients. By default, images with clients share "
                + "half of the memory equally."
        ) { value, settings throws(InvalidValue) in settings.reserve = try Value.reserve(value) },

        Option(
            "memory", ["SIZE"], default: "256M", help: "Memory for the cache, a hard bound (default 256M)."
        ) { value, settings throws(InvalidValue) in
            settings.memory = try Value.size(value, in: settings.minMemory...Pages.maxMemory)
            settings.memoryText = value
        },

        Option(
            "state", ["PATH"], default: nil,
            help: "Keep the memory in this file on a tmpfs, for the next server, whatever ends this one. By default, "
                + "nothing is kept."
        ) { value, settings throws(InvalidValue) in
            settings.state = try Value.path(value, expected: "the path of a file on a tmpfs")
        },

        Option(
            "warm", ["PATH"], default: nil,
            help: "Keep in this file, on a disk, what is in memory, and read that again after a restart. By default, "
                + "the cache begins cold."
        ) { value, settings throws(InvalidValue) in
            settings.warm = try Value.path(value, expected: "the path of a file on a disk")
        },

        Option(
            "control", ["PATH"], default: nil,
            help:
                "Make a Unix socket there that tells figures and takes orders while the server runs. By default, there "
                + "is none."
        ) { value, settings throws(InvalidValue) in
            settings.control = try Value.path(value, expected: "the path of a new Unix socket")
        },

        Option(
            "control-mode", ["MODE"], default: "600",
            help:
                "The permissions of the socket of control=, in octal (default 600)."
        ) { value, settings throws(InvalidValue) in settings.controlMode = try Value.mode(value) },

        Option(
            "direct", into: \.direct,
            help: "Bypass the host's page cache: if the filesystem supports it (auto, the default), always (on; "
                + "without support, refuse to start), or never (off)."),

        readahead(default: "4M"),

        Option(
            "scheduling", into: \.scheduling,
            help: "How the kernel schedules the server's threads: for throughput (batch), like other programs "
                + "(normal), or for throughput unless other programs keep the processors busy (auto, the default)."),

        Option(
            "cache", into: \.cache,
            help: "When a write is answered: once it is in memory (writeback, the default), or once it is on the image "
                + "too (writethrough). Either way a flush makes it durable."),

        Option(
            "dirty", ["PERCENT"], default: "40%",
            help: "Maximum share of the memory that may hold data not yet on the image; beyond it, writers wait "
                + "(default 40%)."
        ) { value, settings throws(InvalidValue) in
            settings.dirtyShare = try Value.share(value, in: Pages.dirtyShares)
        },

        Option(
            "dirty-age", ["SECONDS"], default: "5",
            help: "Maximum age of data in memory before it is written to the image (default 5)."
        ) { value, settings throws(InvalidValue) in settings.dirtyAge = try Value.time(value, example: 5) },

        Option(
            "end-time", ["SECONDS", "off"], default: "60",
            help: "How long the server waits at its end for a disk that does nothing (default 60)."
        ) { value, settings throws(InvalidValue) in
            settings.endTime = try value == "off" ? nil : Value.seconds(value, in: 1...86400, example: 10, or: "off")
        },

        Option(
            "last-will", ["SECONDS", "off"], default: "10",
            help: "If the server crashes, how long it may still write data to the image (default 10)."
        ) { value, settings throws(InvalidValue) in
            settings.lastWill = try value == "off" ? 0 : Value.seconds(value, in: 1...3600, example: 10, or: "off")
        },

        Option(
            "flush-time", ["SECONDS", "off"], default: "10",
            help: "Maximum time of a flush: writers wait before memory holds more than the disk can write in that time "
                + "(default 10)."
        ) { value, settings throws(InvalidValue) in
            settings.flushTime = try value == "off" ? nil : Value.time(value, example: 10, or: "off")
        },

        Option(
            "lock", into: \.lock,
            help: "Lock the image against other servers' writes while clients may write (default on)."),
    ]

    static func readahead(default size: String) -> Option {
        Option(
            "readahead", ["SIZE", "off"], default: size,
            help: "Maximum readahead for a sequential reader (default \(size))."
        ) { value, settings throws(InvalidValue) in
            settings.readahead =
                try value == "off" ? 0 : Value.size(value, in: Pages.minReadahead...Int.max, or: "off")
        }
    }
}
