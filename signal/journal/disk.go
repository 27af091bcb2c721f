package journal

import (
	"errors"
	"io"
	"io/fs"
	"os"
)

// fileSystem is what the writer needs of a file system. Tests stand in for it.
type fileSystem interface {
	mkdirAll(dir string) error
	open(path string) (file, error) // for appending; made if it is missing
	rename(from, to string) error
	remove(path string) error
	exists(path string) bool
	isAt(f file, path string) bool // whether the path still leads to this open file
}

// file is an open log file.
type file interface {
	io.Writer
	io.ReaderAt
	io.Closer
	size() (int64, error)
}

// Nobody but the operator and the group of the server reads logs: they name people.
const (
	dirMode  fs.FileMode = 0o750
	fileMode fs.FileMode = 0o640
)

// disk is the operating system's.
type disk struct{}

func (disk) mkdirAll(dir string) error { return os.MkdirAll(dir, dirMode) }

// open opens for reading too: whether the last line is whole can be seen only so.
func (disk) open(path string) (file, error) {
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_RDWR, fileMode)
	if err != nil {
		return nil, err
	}
	return diskFile{f}, nil
}

func (disk) rename(from, to string) error { return os.Rename(from, to) }

func (disk) remove(path string) error {
	if err := os.Remove(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func (disk) exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

func (disk) isAt(f file, path string) bool {
	there, err := os.Stat(path)
	if err != nil {
		return false
	}
	open, err := f.(diskFile).Stat()
	return err == nil && os.SameFile(there, open)
}

type diskFile struct{ *os.File }

func (f diskFile) size() (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}
