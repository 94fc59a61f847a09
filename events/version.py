"""The version of the distribution. Read by the build, too; asking the installed metadata costs a service 2 MiB."""

VERSION = "0.1.0"
