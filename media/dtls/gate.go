package dtls

import "encoding/binary"

// Bounds of what a peer may make us look at.
const (
	// maxDatagram is the largest datagram a shard's receive slot holds; flights of real
	// clients stay under 1,500 bytes.
	maxDatagram = 2048

	// maxMessage bounds one handshake message by the length that its header claims: a
	// certificate chain has room, a claim of 16 MiB is refused at its first fragment.
	maxMessage = 64 << 10

	// maxAdmitted bounds all bytes of one handshake that pass the gate, repeats included,
	// and so whatever the DTLS library can come to hold. A browser's two flights are
	// about 3 kB, and 30 kB if each is repeated until the deadline. A handshake that goes
	// beyond fails with ErrFlooded.
	maxAdmitted = 128 << 10

	// maxSequence is the highest message_seq looked at. A client's flights are
	// ClientHello 0, Certificate 1, ClientKeyExchange 2, CertificateVerify 3, Finished 4;
	// numbers far ahead would only fill reassembly with what cannot be used.
	maxSequence = 7

	// maxFinished bounds the only handshake record that comes encrypted: 12 bytes of
	// verify_data, 12 of header, and what the cipher adds to it (24 at most).
	maxFinished = 64
)

// Wire constants (RFC 6347 section 4.1 and 4.2.2, RFC 5246 section 7.4).
const (
	recordHeader  = 13
	messageHeader = 12

	typeChangeCipherSpec = 20
	typeAlert            = 21
	typeHandshake        = 22

	alertFatal = 2

	msgClientHello       = 1
	msgCertificate       = 11
	msgCertificateVerify = 15
	msgClientKeyExchange = 16
)

// phase is how far an endpoint is, as far as the gate needs to know.
type phase uint8

const (
	phaseHello   phase = iota // waiting for a whole ClientHello
	phaseFlight               // our first flight is out, the client's second one is due
	phaseLive                 // keys are known to both sides
	phaseSettled              // and the peer has had time to get our last flight
)

// Reasons for which the gate leaves out a record. They index Stats.Dropped.
const (
	DropMalformed      = iota // lengths, version or content that cannot be a record
	DropUnexpected            // a record or handshake message that has no business now
	DropPlaintextAlert        // an alert that anybody could have written
	DropPlaintext             // epoch 0 after the handshake
	DropBomb                  // a fragment that claims too much or carries nothing
	DropOversize              // a datagram no path of ours delivers
	DropOldest                // pushed out of the queue by a newer datagram
	DropRate                  // more records on a live session than anybody needs
	DropClosed                // fed to an endpoint that has ended
	dropReasons
)

// DropNames are the labels of the reasons, for counters.
var DropNames = [dropReasons]string{
	"malformed", "unexpected", "plaintext_alert", "plaintext", "fragment_bomb", "oversize",
	"queue_full", "rate", "closed",
}

// verdict tells what the gate found in a datagram beside the records that it let through.
type verdict struct {
	drops [dropReasons]uint16
	fatal bool // among them a fatal plaintext alert
}

// admit appends to dst those records of datagram that may reach the DTLS library in phase
// ph, and returns dst, which may share no memory with datagram but what it had before.
//
// The library treats some records as errors that end a handshake, or answers them with an
// alert that ends the session at the peer, although anybody who can write a UDP header may
// have sent them: a plaintext alert, application data in epoch 0, a record type it does not
// know. Others make it keep memory. None of those pass. What passes has been checked for
// shape only; what it says is the library's business.
func admit(dst, datagram []byte, ph phase) ([]byte, verdict) {
	var v verdict
	for len(datagram) > 0 {
		if len(datagram) < recordHeader {
			v.drops[DropMalformed]++
			return dst, v
		}
		n := recordHeader + int(binary.BigEndian.Uint16(datagram[11:]))
		// An empty record has nothing to say in any content type we take. A wrong length
		// makes what follows meaningless too.
		if n == recordHeader || n > len(datagram) {
			v.drops[DropMalformed]++
			return dst, v
		}
		record := datagram[:n:n]
		datagram = datagram[n:]
		if reason, ok := judge(record, ph, &v); ok {
			if dst == nil {
				dst = make([]byte, 0, n+len(datagram))
			}
			dst = append(dst, record...)
		} else {
			v.drops[reason]++
		}
	}
	return dst, v
}

// judge decides about one whole record.
func judge(record []byte, ph phase, v *verdict) (reason int, ok bool) {
	// RFC 6347 section 4.2.1: a ClientHello may come in a record of DTLS 1.0.
	if record[1] != 0xfe || record[2] != 0xfd && record[2] != 0xff {
		return DropMalformed, false
	}
	switch epoch := binary.BigEndian.Uint16(record[3:]); {
	case epoch == 0:
		return judgePlain(record[0], record[recordHeader:], ph, v)
	case epoch == 1 && ph != phaseHello:
		// Encrypted: Finished, its repetitions, and alerts. Application data waits for
		// somebody to read it: no DataChannel is ever negotiated here.
		if record[0] == typeAlert || record[0] == typeHandshake && ph != phaseSettled {
			if len(record)-recordHeader > maxFinished {
				return DropBomb, false
			}
			return 0, true
		}
	}
	return DropUnexpected, false
}

// judgePlain decides about a record of epoch 0, whose content anybody may have written.
func judgePlain(contentType byte, body []byte, ph phase, v *verdict) (reason int, ok bool) {
	if ph >= phaseLive {
		// Nothing of epoch 0 is needed any more: a client that repeats its last flight
		// repeats its Finished too, and that alone draws ours.
		if contentType == typeAlert {
			return DropPlaintextAlert, false
		}
		return DropPlaintext, false
	}
	switch contentType {
	case typeHandshake:
		return judgeMessages(body, ph)
	case typeChangeCipherSpec:
		if len(body) != 1 || body[0] != 1 {
			return DropMalformed, false
		}
		if ph == phaseFlight {
			return 0, true
		}
	case typeAlert:
		v.fatal = v.fatal || len(body) == 2 && body[0] == alertFatal
		return DropPlaintextAlert, false
	}
	return DropUnexpected, false
}

// judgeMessages walks the handshake messages, or fragments of them, in one record; one bad
// one makes it drop the record.
func judgeMessages(body []byte, ph phase) (reason int, ok bool) {
	for len(body) > 0 {
		if len(body) < messageHeader {
			return DropMalformed, false
		}
		length := uint24(body[1:])
		offset, size := uint24(body[6:]), uint24(body[9:])
		if size > len(body)-messageHeader || offset+size > length {
			return DropMalformed, false
		}
		// No message that a client sends is empty, so an empty fragment is never needed
		// to complete one.
		if length > maxMessage || size == 0 {
			return DropBomb, false
		}
		if !expected(body[0], binary.BigEndian.Uint16(body[4:]), ph) {
			return DropUnexpected, false
		}
		body = body[messageHeader+size:]
	}
	return 0, true
}

// expected reports whether a handshake message of this type and message_seq is due. A
// ClientHello that comes after our flight is a repetition which our own timer answers (and
// must not be answered twice, or it draws our flight at the sender's pace), or an attempt
// to start over, which does not exist here.
func expected(messageType byte, seq uint16, ph phase) bool {
	if ph == phaseHello {
		return messageType == msgClientHello && seq == 0
	}
	switch messageType {
	case msgCertificate, msgClientKeyExchange, msgCertificateVerify:
		return seq >= 1 && seq <= maxSequence
	}
	return false
}

func uint24(b []byte) int { return int(b[0])<<16 | int(b[1])<<8 | int(b[2]) }
