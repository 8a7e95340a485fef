// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {ISaltChannels} from "../../../contracts/interfaces/ISaltChannels.sol";
import {ContractWallet} from "../mocks/ContractWallet.sol";
import {HostileWallet} from "../mocks/HostileWallet.sol";
import {RefusingReceiver} from "../mocks/RefusingReceiver.sol";
import {SaltChannelsTest} from "./SaltChannelsTest.sol";

/// @notice Who can sign a voucher, and in what form.
contract SaltChannels_vouchers is SaltChannelsTest {
    uint256 private constant ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141;
    uint256 private constant CEILING = 1 ether;

    function test_voucher_isTheSessionKeysAlone_whenOneIsNamed() external {
        ISaltChannels.Channel memory channel = opened(NATIVE);

        expectRefused(channel, sign(payer, digestOf(channel)), session.addr);
        expectRefused(channel, sign(payee, digestOf(channel)), session.addr);
        expectAccepted(channel, sign(session, digestOf(channel)));
    }

    function test_voucher_isThePayers_whenNoKeyIsNamed() external {
        ISaltChannels.Channel memory channel = keyless(payer.addr);

        expectRefused(channel, sign(session, digestOf(channel)), payer.addr);
        expectAccepted(channel, sign(payer, digestOf(channel)));
    }

    /// @dev What an EIP-7702 delegation looks like to this contract: an account with a key and with code, here code that
    /// knows nothing of signatures.
    function test_voucher_isThePayersKeys_whenThePayerHasDelegatedItsAccount() external {
        ISaltChannels.Channel memory channel = keyless(payer.addr);
        vm.etch(payer.addr, address(new RefusingReceiver()).code);

        expectAccepted(channel, sign(payer, digestOf(channel)));
    }

    /// @dev The designator itself, as a chain with EIP-7702 stores it. Cancun cannot follow it; a key needs it not.
    function test_voucher_isThePayersKeys_whenItsCodeIsADelegation() external {
        ISaltChannels.Channel memory channel = keyless(payer.addr);
        vm.etch(payer.addr, abi.encodePacked(hex"ef0100", address(channels)));

        expectRefused(channel, sign(session, digestOf(channel)), payer.addr);
        expectAccepted(channel, sign(payer, digestOf(channel)));
    }

    function test_voucher_isTheSessionKeys_whenItHasDelegatedItsAccount() external {
        ISaltChannels.Channel memory channel = opened(NATIVE);
        vm.etch(session.addr, address(new RefusingReceiver()).code);

        expectAccepted(channel, sign(session, digestOf(channel)));
    }

    function test_voucher_isWhatTheDelegatedCodeAccepts_whenThePayerHasDelegatedItsAccount() external {
        ISaltChannels.Channel memory channel = keyless(payer.addr);
        vm.etch(payer.addr, address(new ContractWallet(session.addr)).code);

        expectAccepted(channel, sign(session, digestOf(channel)));
    }

    function test_voucher_isWhatTheWalletAccepts_whenThePayerIsOne() external {
        ISaltChannels.Channel memory channel = keyless(address(new ContractWallet(session.addr)));

        expectRefused(channel, sign(payer, digestOf(channel)), channel.payer);
        expectAccepted(channel, sign(session, digestOf(channel)));
    }

    function test_voucher_isNoLongerAccepted_whenTheWalletHasChangedItsMind() external {
        ContractWallet wallet = new ContractWallet(session.addr);
        ISaltChannels.Channel memory channel = keyless(address(wallet));
        wallet.close();

        expectRefused(channel, sign(session, digestOf(channel)), channel.payer);
    }

    /// @dev A wallet that is named as the signer is not asked: it could change its mind.
    function test_voucher_isNotAskedOfAWallet_whenItIsNamedAsTheSigner() external {
        ISaltChannels.Channel memory channel = channelIn(NATIVE);
        channel.signer = address(new ContractWallet(session.addr));
        open(channel, DEPOSIT);

        expectRefused(channel, sign(session, digestOf(channel)), channel.signer);
    }

    function test_voucher_isRefused_whenTheWalletIsHostile() external {
        for (uint256 way = 0; way < 5; ++way) {
            ISaltChannels.Channel memory channel = keyless(address(new HostileWallet(HostileWallet.Way(way))));
            expectRefused(channel, sign(session, digestOf(channel)), channel.payer);
        }
    }

    function test_voucher_isRefused_whenItHasAHighS() external {
        ISaltChannels.Channel memory channel = opened(NATIVE);
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(session, digestOf(channel));
        bytes memory twin = abi.encodePacked(r, bytes32(ORDER - uint256(s)), v == 27 ? uint8(28) : uint8(27));

        // The twin is the key's, too.
        assertEq(ecrecover(digestOf(channel), v == 27 ? 28 : 27, r, bytes32(ORDER - uint256(s))), session.addr);
        expectRefused(channel, twin, session.addr);
    }

    function test_voucher_isRefused_whenItIsShortened() external {
        ISaltChannels.Channel memory channel = opened(NATIVE);
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(session, digestOf(channel));
        bytes32 vs = bytes32(uint256(s) | (uint256(v - 27) << 255));

        expectRefused(channel, abi.encodePacked(r, vs), session.addr);
    }

    function test_voucher_isRefused_whenItHasAnotherLength() external {
        ISaltChannels.Channel memory channel = opened(NATIVE);

        expectRefused(channel, "", session.addr);
        expectRefused(channel, bytes.concat(sign(session, digestOf(channel)), hex"00"), session.addr);
    }

    function test_voucher_isRefused_whenVIsNeither27Nor28() external {
        ISaltChannels.Channel memory channel = opened(NATIVE);
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(session, digestOf(channel));

        expectRefused(channel, abi.encodePacked(r, s, v - 27), session.addr);
        expectRefused(channel, abi.encodePacked(r, s, v + 35), session.addr);
    }

    /// @dev ecrecover answers zero for what is no signature, and zero names no key.
    function test_voucher_isRefused_whenItIsNoSignature() external {
        expectRefused(opened(NATIVE), abi.encodePacked(bytes32(0), bytes32(0), uint8(27)), session.addr);
    }

    function test_voucher_isRefused_whenItIsOfAnotherContractOrChain() external {
        ISaltChannels.Channel memory channel = opened(NATIVE);
        bytes32 id = channels.channelId(channel);
        bytes32 structHash =
            keccak256(abi.encode(channels.VOUCHER_TYPEHASH(), id, channel.payee, channel.asset, CEILING));

        expectRefused(channel, sign(session, digestIn(block.chainid, anyone, structHash)), session.addr);
        expectRefused(channel, sign(session, digestIn(1, address(channels), structHash)), session.addr);
        expectAccepted(channel, sign(session, digestIn(block.chainid, address(channels), structHash)));
    }

    /// @dev A chain that changes its id keeps its channels and loses its vouchers; the payer gets out without any.
    function test_voucher_isOfTheNewChain_whenAForkHasChangedTheChainsId() external {
        ISaltChannels.Channel memory channel = opened(NATIVE);
        bytes32 id = channels.channelId(channel);
        bytes memory old = sign(session, digestOf(channel));

        vm.chainId(block.chainid + 1);

        assertEq(channels.channelId(channel), id);
        expectRefused(channel, old, session.addr);
        expectAccepted(channel, sign(session, digestOf(channel)));
        awaitExit(channel);
        channels.exit(channel);
    }

    function testFuzz_voucher_isRefused_whenAnythingIsChanged(uint256 bit) external {
        ISaltChannels.Channel memory channel = opened(NATIVE);
        bytes memory voucher = sign(session, digestOf(channel));
        bit = bound(bit, 0, 65 * 8 - 1);
        voucher[bit / 8] ^= bytes1(uint8(2 ** (bit % 8)));

        expectRefused(channel, voucher, session.addr);
    }

    function digestOf(ISaltChannels.Channel memory channel) private view returns (bytes32) {
        return voucherDigest(channel, CEILING);
    }

    function digestIn(uint256 chainId, address contract_, bytes32 structHash) private pure returns (bytes32) {
        bytes32 domain = keccak256(
            abi.encode(
                keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"),
                keccak256("SaltChannels"),
                keccak256("1"),
                chainId,
                contract_
            )
        );
        return keccak256(abi.encodePacked("\x19\x01", domain, structHash));
    }

    function expectAccepted(ISaltChannels.Channel memory channel, bytes memory voucher) private {
        vm.prank(channel.payee);
        assertEq(channels.claim(channel, CEILING, CEILING, voucher), CEILING);
    }

    function expectRefused(ISaltChannels.Channel memory channel, bytes memory voucher, address signer) private {
        bytes32 digest = digestOf(channel);
        vm.expectRevert(abi.encodeWithSelector(ISaltChannels.InvalidSignature.selector, signer, digest));
        vm.prank(channel.payee);
        channels.claim(channel, CEILING, CEILING, voucher);
    }
}
