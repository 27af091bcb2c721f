// Package deploy tries the files of configs/nginx, configs/systemd and configs/sysctl with the
// programs that they are for: a real nginx in a network namespace, with the addresses and ports
// that the file names, systemd-analyze, and sysctl. It holds tests only; each starts what it
// needs and ends it by its process id, and nothing on the machine itself is changed. A program
// that is missing fails the tests: bench/browser/install.sh brings them all.
package deploy
