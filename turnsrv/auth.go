package turnsrv

import "crypto/md5"

// LongTermKey is the key of long-term credentials (RFC 8489 section 9.2.2). Our usernames and
// passwords are ASCII letters and digits, which OpaqueString (RFC 8265) leaves as they are; a
// realm is taken as it is written.
func LongTermKey(username, realm, password string) [16]byte {
	return md5.Sum([]byte(username + ":" + realm + ":" + password))
}
