// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {ISaltChannels} from "../../../contracts/interfaces/ISaltChannels.sol";
import {ContractWallet} from "../mocks/ContractWallet.sol";
import {QuietAuthorizationToken} from "../mocks/QuietAuthorizationToken.sol";
import {Salt, WrappedSalt, newSalt, newWrappedSalt} from "../support/Contracts.sol";
import {IUsdc, UsdcCode} from "../support/UsdcCode.sol";
import {SaltChannelsTest} from "./SaltChannelsTest.sol";

interface IAuthorizing {
    function DOMAIN_SEPARATOR() external view returns (bytes32);
}

/// @notice `depositWithAuthorization` and `depositWithWalletAuthorization`, with Citrate's wSALT, which has v, r, s alone,
/// and with Salt and USDC as Circle compiled it, which have both overloads.
contract SaltChannels_depositWithAuthorization is SaltChannelsTest {
    WrappedSalt private wrappedSalt;
    Salt private salt;

    function setUp() public override {
        super.setUp();
        salt = newSalt(payer.addr, FUNDS);
        wrappedSalt = newWrappedSalt();
        vm.prank(payer.addr);
        wrappedSalt.deposit{value: FUNDS}();
    }

    function test_depositWithAuthorization_opensForThePayer() external {
        ISaltChannels.Channel memory channel = channelIn(address(wrappedSalt));
        deposit(channel, DEPOSIT, 0);

        assertState(channel, DEPOSIT, 0, 0, false);
        assertEq(wrappedSalt.balanceOf(address(channels)), DEPOSIT);
        assertEq(wrappedSalt.balanceOf(payer.addr), FUNDS - DEPOSIT);
    }

    function test_depositWithAuthorization_topsUp() external {
        ISaltChannels.Channel memory channel = channelIn(address(wrappedSalt));
        deposit(channel, DEPOSIT, 0);
        deposit(channel, 1 ether, DEPOSIT);

        assertState(channel, DEPOSIT + 1 ether, 0, 0, false);
    }

    /// @dev Held back until the payer wants to leave, it must neither keep it in nor lock up more of its money.
    function test_depositWithAuthorization_reverts_whileAnExitIsPending() external {
        ISaltChannels.Channel memory channel = channelIn(address(salt));
        deposit(channel, DEPOSIT, 0);
        bytes memory signature = authorizationOf(channel, 1 ether, DEPOSIT);
        requestExit(channel);
        uint256 exitAt = block.timestamp + DELAY;

        bytes memory reason =
            abi.encodeWithSelector(ISaltChannels.ExitPending.selector, channels.channelId(channel), exitAt);
        vm.expectRevert(reason);
        send(channel, 1 ether, DEPOSIT, signature);
        vm.expectRevert(reason);
        sendBytes(channel, 1 ether, DEPOSIT, signature);
        assertState(channel, DEPOSIT, 0, exitAt, false);
    }

    function test_depositWithAuthorization_reverts_whenItIsSentAgain() external {
        ISaltChannels.Channel memory channel = channelIn(address(wrappedSalt));
        bytes memory signature = authorizationOf(channel, DEPOSIT, 0);
        send(channel, DEPOSIT, 0, signature);
        vm.expectPartialRevert(ISaltChannels.ChannelUsed.selector);
        send(channel, DEPOSIT, 0, signature);
    }

    function test_depositWithAuthorization_reverts_whenDepositIsOutOfOrder() external {
        ISaltChannels.Channel memory channel = channelIn(address(wrappedSalt));
        bytes memory signature = authorizationOf(channel, DEPOSIT, 1 ether);
        deposit(channel, 2 ether, 0);
        vm.expectRevert(
            abi.encodeWithSelector(
                ISaltChannels.DepositOutOfOrder.selector, channels.channelId(channel), 1 ether, 2 ether
            )
        );
        send(channel, DEPOSIT, 1 ether, signature);
    }

    /// @dev Its nonce names the channel: for any other, the token finds that nobody signed.
    function test_depositWithAuthorization_reverts_whenAThiefUsesTheAuthorization() external {
        ISaltChannels.Channel memory channel = channelIn(address(wrappedSalt));
        bytes memory signature = authorizationOf(channel, DEPOSIT, 0);
        channel.payee = anyone;
        vm.expectRevert();
        send(channel, DEPOSIT, 0, signature);
        channel.payee = payee.addr;
        channel.signer = anyone;
        vm.expectRevert();
        send(channel, DEPOSIT, 0, signature);
    }

    /// @dev Only the contract itself can use it: no observer can preempt the deposit.
    function test_depositWithAuthorization_cannotBePreempted() external {
        ISaltChannels.Channel memory channel = channelIn(address(wrappedSalt));
        (bytes32 r, bytes32 s, uint8 v) = split(authorizationOf(channel, DEPOSIT, 0));
        bytes32 nonce = channels.authorizationNonce(channels.channelId(channel), 0);

        vm.expectRevert();
        vm.prank(anyone);
        wrappedSalt.receiveWithAuthorization(
            payer.addr, address(channels), DEPOSIT, 0, type(uint256).max, nonce, v, r, s
        );
        vm.expectRevert();
        vm.prank(anyone);
        wrappedSalt.transferWithAuthorization(
            payer.addr, address(channels), DEPOSIT, 0, type(uint256).max, nonce, v, r, s
        );
    }

    function test_depositWithAuthorization_reverts_whenTheTokenIsQuietOnAUsedNonce() external {
        QuietAuthorizationToken quiet = new QuietAuthorizationToken();
        quiet.mint(payer.addr, FUNDS);
        ISaltChannels.Channel memory channel = channelIn(address(quiet));
        quiet.spend(payer.addr, channels.authorizationNonce(channels.channelId(channel), 0));

        bytes memory reason =
            abi.encodeWithSelector(ISaltChannels.InexactTransfer.selector, address(quiet), DEPOSIT, 0, 0);
        vm.expectRevert(reason);
        channels.depositWithAuthorization(channel, DEPOSIT, 0, 0, 0, 0, 0, 0);
        vm.expectRevert(reason);
        channels.depositWithWalletAuthorization(channel, DEPOSIT, 0, 0, 0, NO_SIGNATURE);
    }

    function test_depositWithAuthorization_reverts_whenTheTokenHasNoSuchFunction() external {
        vm.expectRevert();
        channels.depositWithAuthorization(channelIn(address(token)), DEPOSIT, 0, 0, 0, 0, 0, 0);
        vm.expectRevert();
        channels.depositWithWalletAuthorization(channelIn(address(token)), DEPOSIT, 0, 0, 0, NO_SIGNATURE);
    }

    function test_depositWithAuthorization_reverts_whenAssetIsTheNativeCoin() external {
        vm.expectRevert(abi.encodeWithSelector(ISaltChannels.InvalidAsset.selector, NATIVE));
        channels.depositWithAuthorization(channelIn(NATIVE), DEPOSIT, 0, 0, 0, 0, 0, 0);
    }

    function test_depositWithWalletAuthorization_opensForAWallet() external {
        ISaltChannels.Channel memory channel = channelIn(address(salt));
        channel.payer = address(new ContractWallet(payer.addr));
        vm.prank(payer.addr);
        assertTrue(salt.transfer(channel.payer, DEPOSIT));

        sendBytes(channel, DEPOSIT, 0, authorizationOf(channel, DEPOSIT, 0));
        assertState(channel, DEPOSIT, 0, 0, false);
    }

    function test_depositWithWalletAuthorization_opensAndTopsUpForAKey() external {
        ISaltChannels.Channel memory channel = channelIn(address(salt));
        sendBytes(channel, DEPOSIT, 0, authorizationOf(channel, DEPOSIT, 0));
        sendBytes(channel, 1 ether, DEPOSIT, authorizationOf(channel, 1 ether, DEPOSIT));
        assertState(channel, DEPOSIT + 1 ether, 0, 0, false);
    }

    function test_depositWithWalletAuthorization_reverts_whenNobodySigned() external {
        ISaltChannels.Channel memory channel = channelIn(address(salt));
        vm.expectRevert();
        sendBytes(channel, DEPOSIT, 0, NO_SIGNATURE);
    }

    function test_depositWithAuthorization_opensAndTopsUpInUsdc() external {
        IUsdc usdc = fundedUsdc(payer.addr);
        ISaltChannels.Channel memory channel = channelIn(address(usdc));
        deposit(channel, 7_000_000, 0);
        deposit(channel, 3_000_000, 7_000_000);

        assertState(channel, 10_000_000, 0, 0, false);
        assertEq(usdc.balanceOf(address(channels)), 10_000_000);
    }

    /// @dev The whole life of a channel in USDC that a key opens by the overload with bytes.
    function test_depositWithWalletAuthorization_opensInUsdcForAKey_andPaysBoth() external {
        IUsdc usdc = fundedUsdc(payer.addr);
        ISaltChannels.Channel memory channel = channelIn(address(usdc));
        bytes32 id = channels.channelId(channel);

        bytes memory signature = authorizationOf(channel, 7_000_000, 0);
        vm.expectEmit(address(channels));
        emit ISaltChannels.ChannelOpened(
            id, payer.addr, payee.addr, address(usdc), session.addr, address(0), DELAY, keccak256("salt"), 7_000_000
        );
        sendBytes(channel, 7_000_000, 0, signature);
        sendBytes(channel, 3_000_000, 7_000_000, authorizationOf(channel, 3_000_000, 7_000_000));

        assertState(channel, 10_000_000, 0, 0, false);
        assertEq(usdc.balanceOf(address(channels)), 10_000_000);
        assertEq(usdc.balanceOf(payer.addr), 0);
        assertTrue(usdc.authorizationState(payer.addr, channels.authorizationNonce(id, 0)));
        assertTrue(usdc.authorizationState(payer.addr, channels.authorizationNonce(id, 7_000_000)));

        close(channel, 4_000_000);
        assertEq(usdc.balanceOf(payee.addr), 4_000_000);
        assertEq(usdc.balanceOf(payer.addr), 6_000_000);
        assertEq(usdc.balanceOf(address(channels)), 0);
    }

    /// @dev USDC asks the wallet, by ERC-1271.
    function test_depositWithWalletAuthorization_opensInUsdcForAWallet() external {
        address wallet = address(new ContractWallet(payer.addr));
        IUsdc usdc = fundedUsdc(wallet);
        ISaltChannels.Channel memory channel = channelIn(address(usdc));
        channel.payer = wallet;

        sendBytes(channel, 7_000_000, 0, authorizationOf(channel, 7_000_000, 0));

        assertState(channel, 7_000_000, 0, 0, false);
        assertEq(usdc.balanceOf(address(channels)), 7_000_000);
        assertEq(usdc.balanceOf(wallet), 3_000_000);
    }

    function test_depositWithWalletAuthorization_reverts_whenUsdcRefuses() external {
        IUsdc usdc = fundedUsdc(payer.addr);
        ISaltChannels.Channel memory channel = channelIn(address(usdc));
        bytes memory signature = authorizationOf(channel, 7_000_000, 0);

        // Another amount than was signed, and another channel, whose nonce nobody signed.
        vm.expectRevert("FiatTokenV2: invalid signature");
        sendBytes(channel, 7_000_001, 0, signature);
        channel.payee = anyone;
        vm.expectRevert("FiatTokenV2: invalid signature");
        sendBytes(channel, 7_000_000, 0, signature);
        channel.payee = payee.addr;

        usdc.blacklist(payer.addr);
        vm.expectRevert("Blacklistable: account is blacklisted");
        sendBytes(channel, 7_000_000, 0, signature);

        assertState(channel, 0, 0, 0, false);
        assertEq(usdc.balanceOf(payer.addr), 10_000_000);
    }

    /// @dev Only the contract itself can use it, with bytes too.
    function test_depositWithWalletAuthorization_cannotBePreemptedInUsdc() external {
        IUsdc usdc = fundedUsdc(payer.addr);
        ISaltChannels.Channel memory channel = channelIn(address(usdc));
        bytes memory signature = authorizationOf(channel, 7_000_000, 0);
        bytes32 nonce = channels.authorizationNonce(channels.channelId(channel), 0);

        vm.expectRevert("FiatTokenV2: caller must be the payee");
        vm.prank(anyone);
        usdc.receiveWithAuthorization(payer.addr, address(channels), 7_000_000, 0, type(uint256).max, nonce, signature);
        vm.expectRevert("FiatTokenV2: invalid signature");
        vm.prank(anyone);
        usdc.transferWithAuthorization(payer.addr, address(channels), 7_000_000, 0, type(uint256).max, nonce, signature);

        sendBytes(channel, 7_000_000, 0, signature);
        assertState(channel, 7_000_000, 0, 0, false);
    }

    /// @dev Circle's own code, in which `owner` has ten dollars.
    function fundedUsdc(address owner) private returns (IUsdc usdc) {
        usdc = UsdcCode.deploy(address(this));
        usdc.mint(owner, 10_000_000);
    }

    function deposit(ISaltChannels.Channel memory channel, uint256 amount, uint256 before) private {
        send(channel, amount, before, authorizationOf(channel, amount, before));
    }

    function send(ISaltChannels.Channel memory channel, uint256 amount, uint256 before, bytes memory signature)
        private
    {
        (bytes32 r, bytes32 s, uint8 v) = split(signature);
        vm.prank(anyone);
        channels.depositWithAuthorization(channel, amount, before, 0, type(uint256).max, v, r, s);
    }

    function sendBytes(ISaltChannels.Channel memory channel, uint256 amount, uint256 before, bytes memory signature)
        private
    {
        vm.prank(anyone);
        channels.depositWithWalletAuthorization(channel, amount, before, 0, type(uint256).max, signature);
    }

    function authorizationOf(ISaltChannels.Channel memory channel, uint256 amount, uint256 before)
        private
        returns (bytes memory)
    {
        bytes32 structHash = keccak256(
            abi.encode(
                keccak256(
                    "ReceiveWithAuthorization(address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce)"
                ),
                channel.payer,
                address(channels),
                amount,
                0,
                type(uint256).max,
                keccak256(abi.encode(channels.channelId(channel), before))
            )
        );
        return sign(
            payer, keccak256(abi.encodePacked("\x19\x01", IAuthorizing(channel.asset).DOMAIN_SEPARATOR(), structHash))
        );
    }

    function split(bytes memory signature) private pure returns (bytes32 r, bytes32 s, uint8 v) {
        assembly ("memory-safe") {
            r := mload(add(signature, 0x20))
            s := mload(add(signature, 0x40))
            v := byte(0, mload(add(signature, 0x60)))
        }
    }
}
