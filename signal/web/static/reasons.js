// Words for everything that can end a call, and whether trying again may help.

// How a call ends (see Call): "unreachable", "silent", "lost", "closed", "no-media",
// "media-lost" and "broken".
//
// explain returns { title, text, retry }: what happened, what to do about it, and
// whether the page should come back by itself.
export function explain({ how, code = 0, reason = "", detail = "" }) {
  switch (how) {
    case "unreachable":
      return say("The server cannot be reached or is busy.", "It may be restarting, or the network is down.", true);
    case "silent":
      return say("The server does not answer.", "It may be restarting, or something on the way holds the connection up.", true);
    case "lost":
      return say("The connection to the server was lost.", "The network is down, or the server has stopped.", true);
    case "media-lost":
      return say("The media connection to the server was lost.", "The network may have changed.", true);
    case "no-media":
      return say("No media connection within 15 seconds.", detail
        ? `Signaling works, but no answer came from ${detail}. A firewall on the way may block UDP.`
        : "The server took the connection but made no offer.", false);
    case "broken":
      return say("The call broke down.", detail, false);
  }
  return closed(code, reason);
}

const say = (title, text, retry) => ({ title, text, retry });

// closed explains a close frame of the server. The reason is always shown as it
// came, because that is what its operator can look for.
function closed(code, reason) {
  const known = Object.hasOwn(REASONS, reason) ? REASONS[reason] : family(reason);
  if (code === 1000 || code === 1005) {
    const [text, retry] = known ?? ["", false];
    return say(reason ? `The server ended the call: ${reason}` : "The server ended the call.", text, Boolean(retry));
  }
  const [text, retry] = known ?? ["The server gives no further explanation.", code === 1001 || code === 1012 || code === 1013];
  return say(`The server ${retry ? "ended" : "refused"} the call: ${reason || `code ${code}`}`, text, Boolean(retry));
}

// REASONS are the close reasons of the protocol: what they mean, what to do, and
// true where coming back may help.
const REASONS = {
  "TYPE-DISCONNECT": ["We said good-bye."],
  "SHUTDOWN": ["The server is being stopped or restarted.", true],
  "PEER-CLOSED": ["This browser closed its media connection."],
  "DISCONNECTED-API": ["Somebody who runs the server has ended this connection."],
  "LIFETIME-EXPIRED": ["The time that this connection was allowed is over."],
  "SERVER-FULL": ["The server has no room for another connection.", true],
  "SERVER-BUSY": ["The server could not keep up.", true],
  "PONG-TIMEOUT-ERROR": ["The server heard nothing from this page for a long time.", true],
  "CONSENT-LOST": ["No media came from here for 30 seconds. The network may have been away.", true],
  "SLOW-READER": ["This page did not read what the server sent.", true],
  "CONNECT-WAIT-TIMEOUT-ERROR": ["The connection was opened, but the request came too late.", true],
  "ANSWER-TIMEOUT-ERROR": ["This page did not answer an offer in time. Reload it and join again."],
  "CONNECTION-CREATED-WAIT-TIMEOUT-ERROR": ["No media path was found in time. A firewall on the way may block UDP."],
  "DTLS-FAILED": ["The encryption of the media could not be set up. Something on the way may change packets."],
  "BAD-FINGERPRINT": ["The media came from somebody else than the signaling. Something on the way may change packets."],
  "AUTHENTICATION-FAILURE": ["The server wants to know who you are. Put what it asks for into the metadata (More options)."],
  "AUTHENTICATION-INTERNAL-ERROR": ["The server could not check who you are. Ask who runs it."],
  "SESSION-WEBHOOK-ERROR": ["The server could not ask its application about this channel. Ask who runs it.", true],
  "CONNECTION-LIMIT": ["As many people are in this channel as may be.", true],
  "METADATA-TOO-LARGE": ["The metadata is too large (More options)."],
  "TOKEN-REQUIRED": ["The server wants a token. Put {\"access_token\": \"…\"} into the metadata (More options)."],
  "TOKEN-INVALID": ["The token is none of this server's, or was changed. Ask for another one."],
  "TOKEN-EXPIRED": ["The token's time is over. Ask for another one."],
  "TOKEN-NOT-YET-VALID": ["The token's time has not come yet."],
  "TOKEN-WRONG-CHANNEL": ["The token is for another channel."],
  "TOKEN-WRONG-ROLE": ["The token does not allow to join in this way: choose another role."],
  "DUPLICATED-CHANNEL-ID": ["The previous connection is still there. Wait a moment and join again."],
  "UNKNOWN-CODEC-TYPE": ["This server does not take that codec. Choose another one (More options)."],
  "SIGNALING-NOTIFY-METADATA-TOO-LARGE": ["The metadata is too large."],
  "TOO-MANY-MESSAGES": ["This page sent more messages than the server takes. Reload it."],
  "UNEXPECTED-MESSAGE": ["This page and the server do not agree on whose turn it is. Reload the page."],
  "INVALID-CHANNEL-ID": ["The channel's name has characters that the server does not take, or is too long."],
  "INVALID-CLIENT-ID": ["The client id has characters that the server does not take, or is too long (More options)."],
  "INVALID-AUDIO-FORMAT": ["A value for the audio is outside of what the server takes (More options)."],
  "INVALID-VIDEO-FORMAT": ["A value for the video is outside of what the server takes (More options)."],
  "NO-COMMON-CODEC": ["This browser cannot send or receive anything that was asked for. Choose another codec (More options)."],
  "INVALID-SDP": ["The server cannot read this browser's answer. Another browser may work."],
};

// family explains reasons by what they end with.
function family(reason) {
  const subject = reason.replace(/-(NOT-SUPPORTED|NOT-ALLOWED)$/, "").replaceAll("-", " ").toLowerCase();
  if (reason.endsWith("-NOT-SUPPORTED")) return [`This server does not have this: ${subject}.`];
  if (reason.endsWith("-NOT-ALLOWED")) {
    return [`The server's configuration forbids this: ${subject}. Leave it at the server's choice (More options).`];
  }
  if (reason.startsWith("INVALID-")) return ["The server does not take one of the values. Check them (More options)."];
  return undefined;
}
