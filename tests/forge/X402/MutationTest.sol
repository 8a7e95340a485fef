// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {IX402Permit2Proxy} from "../../../contracts/interfaces/IX402Permit2Proxies.sol";
import {BlacklistingToken} from "../mocks/BlacklistingToken.sol";
import {ContractWallet} from "../mocks/ContractWallet.sol";
import {PermitRefusingToken} from "../mocks/PermitRefusingToken.sol";
import {ReenteringToken} from "../mocks/ReenteringToken.sol";
import {Dice} from "../support/Dice.sol";
import {MutationWorld} from "./MutationWorld.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {ReentrancyGuard} from "@openzeppelin/contracts/utils/ReentrancyGuard.sol";
import {ISignatureTransfer} from "permit2/interfaces/ISignatureTransfer.sol";

/// @notice Payments that are wrong in no, one or several points, drawn by dice: what is signed, what is changed of it
/// afterwards, the signatures, the permits, the call's bytes, and what the accounts and tokens were up to before.
abstract contract MutationTest is MutationWorld {
    struct Case {
        Payment payment;
        IX402Permit2Proxy.EIP2612Permit permit;
        bytes signature;
        address caller;
        uint256 value;
        bytes call;
    }

    /// @dev The order of secp256k1.
    uint256 private constant ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141;

    /// @dev The hash that is signed for this kind.
    function digestOf(Payment memory payment) internal view virtual returns (bytes32);

    /// @dev The call that settles.
    function callOf(IX402Permit2Proxy.EIP2612Permit memory permit, Payment memory payment, bytes memory signature)
        internal
        view
        virtual
        returns (bytes memory);

    /// @dev Which of the call's words says where the signature is.
    function signatureWord() internal pure virtual returns (uint256);

    /// @dev Also does to the world what is part of the case.
    function caseOf(Dice memory dice) internal returns (Case memory drawn) {
        // Salt half of the time, and often the one that refuses permits.
        uint256 which = dice.oneIn(2) ? 0 : dice.oneIn(4) ? REFUSING : dice.roll(tokens.length);
        Payment memory payment = paymentOf(tokens[which], AMOUNT);
        payment.nonce = dice.word();
        if (dice.oneIn(2)) payment.owner = owners[dice.roll(owners.length)];
        for (uint256 i = dice.roll(3); i > 0; --i) {
            mutateField(payment, dice);
        }
        if (dice.oneIn(6)) mutateMuch(payment, dice);
        drawn.payment = payment;
        drawn.permit = permitDrawn(payment, dice);
        for (uint256 i = dice.roll(3); i > 0; --i) {
            mutateWorld(payment, dice);
        }

        drawn.signature = packed(keyOf(payment.owner), digestOf(payment));
        drawn.caller = dice.oneIn(12) ? accounts[dice.roll(accounts.length)] : payment.facilitator;
        if (dice.oneIn(6)) mutateField(payment, dice);
        if (dice.oneIn(5)) drawn.signature = mutateSignature(payment, drawn.signature, dice);
        if (dice.oneIn(40)) vm.chainId(block.chainid + 1);
        drawn.call = callOf(drawn.permit, payment, drawn.signature);
        if (dice.oneIn(5)) drawn.call = mutateCall(drawn.call, dice);
        if (dice.oneIn(40)) drawn.value = 1;
    }

    function mutateField(Payment memory payment, Dice memory dice) private view {
        uint256 which = dice.roll(9);
        if (which == 0) payment.token = tokens[dice.roll(tokens.length)];
        if (which == 1) payment.owner = owners[dice.roll(owners.length)];
        if (which == 2) payment.to = dice.oneIn(3) ? address(0) : accounts[dice.roll(accounts.length)];
        if (which == 3) payment.facilitator = accounts[dice.roll(accounts.length)];
        if (which == 4) {
            payment.permitted = dice.near(dice.oneIn(2) ? AMOUNT : FUNDS);
            payment.amount = payment.permitted;
        }
        if (which == 5) payment.amount = dice.near(payment.permitted);
        if (which == 6) payment.nonce = dice.near(payment.nonce);
        if (which == 7) payment.deadline = dice.near(NOW);
        if (which == 8) payment.validAfter = dice.near(NOW);
    }

    /// @dev Wrong in half of what is checked: the order of the checks decides what is told.
    function mutateMuch(Payment memory payment, Dice memory dice) private pure {
        if (dice.oneIn(2)) (payment.permitted, payment.amount) = (0, 0);
        if (dice.oneIn(2)) payment.owner = address(0);
        if (dice.oneIn(2)) payment.to = address(0);
        if (dice.oneIn(2)) payment.validAfter = NOW + 1;
        if (dice.oneIn(2)) payment.deadline = NOW - 1;
        if (dice.oneIn(3)) payment.amount = payment.permitted == 0 ? 1 : type(uint256).max;
    }

    /// @dev For Salt, which takes permits, and with no allowance beside it half of the time.
    function permitDrawn(Payment memory payment, Dice memory dice)
        private
        returns (IX402Permit2Proxy.EIP2612Permit memory permit)
    {
        uint256 how = dice.roll(10);
        uint256 key = how == 0 ? payer.privateKey + 1 : keyOf(payment.owner);
        uint256 value = how == 1 ? dice.near(payment.permitted) : payment.permitted;
        permit = permit2612Of(payment.owner, key, value, how == 2 ? dice.near(NOW) : NOW);
        if (how == 3) permit.s = bytes32(dice.word());
        // Anybody can use it who sees it.
        if (how == 4) tryCall(payment.owner, tokens[0], permitCall(payment.owner, permit));
        if (how > 4 && dice.oneIn(2)) approve(payment.owner, tokens[0], 0);
        PermitRefusingToken(tokens[REFUSING]).setWay(PermitRefusingToken.Way(dice.roll(4)));
    }

    function mutateWorld(Payment memory payment, Dice memory dice) private {
        uint256 which = dice.roll(6);
        if (which == 0) approve(payment.owner, payment.token, dice.near(payment.permitted));
        if (which == 1) {
            uint256 bit = bitOf(payment.nonce);
            uint256 used = dice.oneIn(2) ? bit : dice.oneIn(2) ? ~bit : dice.word();
            tryCall(payment.owner, permit2, invalidation(payment.nonce, used));
        }
        if (which == 2) wallet.close();
        if (which == 3) {
            BlacklistingToken(tokens[BLACKLISTING]).setBlacklisted(dice.oneIn(2) ? payment.owner : payment.to, true);
        }
        if (which > 3) planReentrance(payment, dice);
    }

    /// @dev The reentering token, and the wallet that reenters, will try to settle another payment that is good, or to make
    /// the outer payment's nonce void while it is settled.
    function planReentrance(Payment memory outer, Dice memory dice) private {
        Payment memory inner = paymentOf(tokens[0], AMOUNT);
        inner.nonce = outer.nonce ^ (dice.oneIn(2) ? 1 : 256);
        ReenteringToken reentering = ReenteringToken(tokens[dice.oneIn(2) ? REENTERING : HOSTILE]);
        inner.facilitator = address(reentering);
        bytes memory call = callOf(
            permit2612Of(payer.addr, payer.privateKey, AMOUNT, NOW), inner, packed(payer.privateKey, digestOf(inner))
        );
        if (dice.oneIn(3)) {
            outer.owner = address(wallet);
            bytes memory voiding = invalidation(outer.nonce, bitOf(outer.nonce));
            reentering.reenter(address(wallet), abi.encodeCall(ContractWallet.execute, (permit2, voiding)));
        } else {
            reentering.reenter(proxy, call);
        }
        reenteringWallet.reenter(
            proxy,
            call,
            dice.oneIn(2)
                ? ReentrancyGuard.ReentrancyGuardReentrantCall.selector
                : IX402Permit2Proxy.InvalidOwner.selector
        );
        if (dice.oneIn(2)) outer.token = address(reentering);
        if (dice.oneIn(4)) outer.owner = address(reenteringWallet);
    }

    function mutateSignature(Payment memory payment, bytes memory signature, Dice memory dice)
        private
        view
        returns (bytes memory)
    {
        uint256 which = dice.roll(8);
        (bytes32 r, bytes32 s, uint8 v) = split(signature);
        if (which == 0) {
            // As in EIP-2098.
            return abi.encodePacked(r, bytes32(uint256(s) | (v == 28 ? 1 << 255 : 0)));
        }
        if (which == 1) return abi.encodePacked(r, bytes32(ORDER - uint256(s)), v == 27 ? 28 : 27);
        if (which == 2) return abi.encodePacked(r, s, uint8(dice.roll(32)));
        if (which == 3) return packed(payer.privateKey + 1, digestOf(payment));
        if (which == 4) return abi.encodePacked(signature, anyBytes(dice, 100));
        if (which == 5) return cut(signature, 1 + dice.roll(65));
        if (which == 6) return flip(signature, dice);
        return anyBytes(dice, 1000);
    }

    function mutateCall(bytes memory call, Dice memory dice) private pure returns (bytes memory) {
        uint256 which = dice.roll(6);
        // As what is put behind a call to say who sent it.
        if (which == 0) return abi.encodePacked(call, anyBytes(dice, 100));
        if (which == 1) return cut(call, 1 + dice.roll(call.length));
        if (which == 2) return flip(call, dice);
        uint256 words = signatureWord();
        if (which == 3) {
            // The signature is elsewhere than encoders put it.
            bytes memory gap = anyBytes(dice, 70);
            bytes memory moved = abi.encodePacked(call, gap, tail(call, 4 + 32 * (words + 1)));
            return withWord(moved, words, call.length + gap.length - 4);
        }
        uint256 at = dice.roll(words + 2);
        uint256 old = wordOf(call, at);
        // What is no address, no offset and no length.
        if (which == 4) return withWord(call, at, old | (dice.oneIn(2) ? 1 << 160 : 1 << 255));
        return withWord(call, at, dice.near(old));
    }

    function invalidation(uint256 nonce, uint256 mask) private pure returns (bytes memory) {
        return abi.encodeCall(ISignatureTransfer.invalidateUnorderedNonces, (nonce >> 8, mask));
    }

    /// @dev Which bit Permit2 keeps for a nonce.
    function bitOf(uint256 nonce) private pure returns (uint256) {
        return 2 ** (nonce & 0xff);
    }

    function approve(address owner, address asset, uint256 amount) private {
        tryCall(owner, asset, abi.encodeCall(IERC20.approve, (permit2, amount)));
    }

    function split(bytes memory signature) private pure returns (bytes32 r, bytes32 s, uint8 v) {
        return (bytes32(wordAt(signature, 0)), bytes32(wordAt(signature, 32)), uint8(signature[64]));
    }

    function wordOf(bytes memory call, uint256 index) private pure returns (uint256) {
        return wordAt(call, 4 + 32 * index);
    }

    function wordAt(bytes memory data, uint256 offset) private pure returns (uint256 word) {
        require(offset + 32 <= data.length, "no such word");
        assembly ("memory-safe") {
            word := mload(add(add(data, 0x20), offset))
        }
    }

    function withWord(bytes memory data, uint256 index, uint256 word) private pure returns (bytes memory) {
        uint256 offset = 4 + 32 * index;
        require(offset + 32 <= data.length, "no such word");
        assembly ("memory-safe") {
            mstore(add(add(data, 0x20), offset), word)
        }
        return data;
    }

    function cut(bytes memory data, uint256 count) private pure returns (bytes memory) {
        assembly ("memory-safe") {
            mstore(data, sub(mload(data), count))
        }
        return data;
    }

    function tail(bytes memory data, uint256 from) private pure returns (bytes memory rest) {
        rest = new bytes(data.length - from);
        for (uint256 i = 0; i < rest.length; ++i) {
            rest[i] = data[from + i];
        }
    }

    function flip(bytes memory data, Dice memory dice) private pure returns (bytes memory) {
        uint256 at = dice.roll(data.length);
        data[at] = bytes1(uint8(data[at]) ^ uint8(2 ** dice.roll(8)));
        return data;
    }

    function anyBytes(Dice memory dice, uint256 most) private pure returns (bytes memory data) {
        data = new bytes(dice.roll(most + 1));
        for (uint256 i = 0; i < data.length; ++i) {
            data[i] = bytes1(uint8(dice.word()));
        }
    }
}
